"""Accounts, and the four ways to prove who asks: token, session, access token, password."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cvat_flows.deployments.sandbox.store import Row, Store
from cvat_flows.deployments.sandbox.web import Call, Refusal, answer, denied, route

ACCOUNTS = ("admin", "worker")
"""Made with the folder; the password is the name, the first one is superuser."""


def create_accounts(store: Store) -> None:
    with store.writing():
        for name in ACCOUNTS if not store.rows("user") else ():
            salt, secret = secrets.token_hex(8), secrets.token_hex
            store.add(
                "user", username=name, first_name="", last_name="", email=f"{name}@localhost",
                is_superuser=name == ACCOUNTS[0], is_staff=name == ACCOUNTS[0], is_active=True,
                groups=["admin" if name == ACCOUNTS[0] else "user"], _salt=salt,
                _password=_hashed(salt, name), _token=secret(20), _session=secret(16),
                _csrf=secret(16),
            )  # fmt: skip


def _hashed(salt: str, password: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()


def _check_password(store: Store, username: str, password: str) -> Row | None:
    user = store.first("user", username=username)
    return user if user and user["_password"] == _hashed(user["_salt"], password) else None


def authenticate(store: Store, request: Request) -> Row:
    """Who makes the request; raises Refusal with 401, or 403 where a credential only reads."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    changes = request.method not in ("GET", "HEAD", "OPTIONS")
    user, text = None, "Invalid token."
    if scheme == "Token":
        user = store.first("user", _token=given)
    elif scheme == "Bearer":
        token = store.first("access_token", _value=given)
        if token and (token["expiry_date"] or "9") > store.now():
            user = store.get("user", token["owner"])
            if changes and token["read_only"]:
                raise denied()
    elif scheme == "Basic":
        text = "Invalid username/password."
        name, _, password = base64.b64decode(given).decode("utf-8", "replace").partition(":")
        user = _check_password(store, name, password)
    else:
        text = "Authentication credentials were not provided."
        user = store.first("user", _session=request.cookies.get("sessionid"))
        if user and changes and request.headers.get("x-csrftoken") != user["_csrf"]:
            raise Refusal(403, {"detail": "CSRF Failed: CSRF token missing."})
    if user is None:
        raise Refusal(401, {"detail": text}, {"WWW-Authenticate": "Token"})
    return user


@route("GET", "/api/server/about", public=True)
def about(call: Call) -> Any:
    text = "A stand-in for CVAT, for trying out: keep nothing of value in it."
    names = {"name": "cvat-flows sandbox", "description": text, "version": "2.54.1"}
    return {**names, "logo_url": "", "subtitle": ""}


@route("POST", "/api/auth/login", public=True)
def login(call: Call) -> Response:
    fields = call.fields()
    name, password = fields.get("username") or fields.get("email"), fields.get("password")
    if not name or not password:
        raise Refusal(400, ['Must include either "username" or "email" and "password".'])
    user = _check_password(call.store, str(name), str(password))
    if user is None:
        text = "Unable to log in with provided credentials."
        raise Refusal(400, {"non_field_errors": [text]})
    response = answer({"key": user["_token"]})
    response.set_cookie("sessionid", user["_session"], httponly=True, samesite="lax")
    response.set_cookie("csrftoken", user["_csrf"], samesite="lax")
    return response


@route("POST", "/api/auth/logout")
def logout(call: Call) -> Response:
    # The session itself stays good: other clients of the same account share it.
    response = answer({"detail": "Successfully logged out."})
    response.delete_cookie("sessionid")
    return response


@route("GET", "/api/users/self")
def read_self(call: Call) -> Row:
    return call.view("user", call.user)


@route("POST", "/api/auth/access_tokens")
def create_access_token(call: Call) -> Response:
    fields = call.fields("name")
    row = call.store.add(
        "access_token", name=fields["name"], read_only=bool(fields.get("read_only", True)),
        expiry_date=fields.get("expiry_date"), owner=call.user["id"], last_used_date=None,
        _value=secrets.token_urlsafe(30),
    )  # fmt: skip
    shown = {**call.view("access_token", row), "value": row["_value"]}  # here and never again
    return answer(shown, 201)
