"""User accounts, and authentication by token, session, access token or password."""

from __future__ import annotations

import base64
import hashlib
import secrets

from starlette.requests import Request

from cvat_flows.deployments.sandbox.answers import Refusal, permission_denied
from cvat_flows.deployments.sandbox.store import Row, Store

SUPERUSER = "admin"
ACCOUNTS = (SUPERUSER, "worker")
"""Names of the accounts that a new sandbox has. The password is the name."""


class Accounts:
    """The accounts in a store. Creates them if there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        if not store.all("user"):
            with store.writing():
                for name in ACCOUNTS:
                    self._create(name)

    def _create(self, name: str) -> None:
        salt, is_superuser = secrets.token_hex(8), name == SUPERUSER
        self._store.add(
            "user", username=name, first_name="", last_name="", email=f"{name}@localhost",
            is_superuser=is_superuser, is_staff=is_superuser, is_active=True,
            groups=["admin" if is_superuser else "user"], _salt=salt, _password=_hash(salt, name),
            _token=secrets.token_hex(20), _session=secrets.token_hex(16),
            _csrf=secrets.token_hex(16),
        )  # fmt: skip

    def with_password(self, username: str, password: str) -> Row | None:
        """Return the user, or None if there is no such user or the password is wrong."""
        user = self._store.first("user", username=username)
        return user if user and user["_password"] == _hash(user["_salt"], password) else None

    def authenticate(self, request: Request) -> Row:
        """Return the user that sent a request.

        Raises:
            Refusal: 401 for a missing or wrong credential; 403 for a write without a CSRF token or
                with an access token that may only read.
        """
        store = self._store
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        writes = request.method not in ("GET", "HEAD", "OPTIONS")
        user, text = None, "Invalid token."
        if scheme == "Token":
            user = store.first("user", _token=given)
        elif scheme == "Bearer":
            token = store.first("access_token", _value=given)
            if token and (token["expiry_date"] or "9") > store.now():
                user = store.get("user", token["owner"])
                if writes and token["read_only"]:
                    raise permission_denied()
        elif scheme == "Basic":
            text = "Invalid username/password."
            name, _, password = base64.b64decode(given).decode("utf-8", "replace").partition(":")
            user = self.with_password(name, password)
        else:
            text = "Authentication credentials were not provided."
            user = store.first("user", _session=request.cookies.get("sessionid"))
            if user and writes and request.headers.get("x-csrftoken") != user["_csrf"]:
                raise Refusal(403, {"detail": "CSRF Failed: CSRF token missing."})
        if user is None:
            raise Refusal(401, {"detail": text}, {"WWW-Authenticate": "Token"})
        return user


def _hash(salt: str, password: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()
