"""The server's description, login and access tokens."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal, answer
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.store import Row

router = Router()


@router.route("GET", "/api/server/about", public=True)
def about(call: Call) -> Any:
    return {
        "name": "cvat-flows sandbox",
        "description": "A small CVAT-compatible server for demos and tests",
        "version": "2.54.1",
        "logo_url": "",
        "subtitle": "",
    }


@router.route("POST", "/api/auth/login", public=True)
def login(call: Call) -> Response:
    fields = call.fields()
    name, password = fields.get("username") or fields.get("email"), fields.get("password")
    if not name or not password:
        raise Refusal(400, ['Must include either "username" or "email" and "password".'])
    user = call.sandbox.accounts.with_password(str(name), str(password))
    if user is None:
        text = "Unable to log in with provided credentials."
        raise Refusal(400, {"non_field_errors": [text]})
    response = answer({"key": user["_token"]})
    response.set_cookie("sessionid", user["_session"], httponly=True, samesite="lax")
    response.set_cookie("csrftoken", user["_csrf"], samesite="lax")
    return response


@router.route("POST", "/api/auth/logout")
def logout(call: Call) -> Response:
    # The session stays valid: other clients of the same account share it.
    response = answer({"detail": "Successfully logged out."})
    response.delete_cookie("sessionid")
    return response


@router.route("GET", "/api/users/self")
def read_own_user(call: Call) -> Row:
    return call.as_json("user", call.user)


@router.route("POST", "/api/auth/access_tokens")
def create_access_token(call: Call) -> Response:
    fields = call.fields("name")
    row = call.store.add(
        "access_token", name=fields["name"], read_only=bool(fields.get("read_only", True)),
        expiry_date=fields.get("expiry_date"), owner=call.user["id"], last_used_date=None,
        _value=secrets.token_urlsafe(30),
    )  # fmt: skip
    # This answer is the only one that shows the token's value.
    return answer({**call.as_json("access_token", row), "value": row["_value"]}, 201)
