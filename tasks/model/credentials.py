"""Mask credentials in text from outside: answers of servers, errors of libraries.

Known are the credentials in the environment, and those that were passed to `remember`. The user in
an address and the signature of a signed address are masked even if they are not known.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
VARIABLES = (
    "CVAT_ACCESS_TOKEN", "PASS",
    "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_ENCRYPTION_KEY", "PREFECT_REDIS_MESSAGING_PASSWORD",
    "CVAT_FLOWS_WEBHOOK_SECRET",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "FSSPEC_S3_KEY", "FSSPEC_S3_SECRET", "FSSPEC_S3_TOKEN",
    "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
)  # fmt: skip
"""Environment variables whose whole value is a credential."""
ADDRESS_VARIABLES = (
    "CVAT_HOST", "CVAT_FLOWS_STORAGE", "PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy",
    "https_proxy",
)  # fmt: skip
"""Environment variables with an address, which may contain a password."""
MIN_LENGTH = 6
"""Characters. A shorter credential is not masked: it would be found in half of all words."""
MIN_LENGTH_INSIDE_WORDS = 8
"""A shorter credential is masked only if no letter or digit is next to it."""

_USER_IN_ADDRESS = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#\"'<>]+@")
_SIGNATURE = re.compile(
    r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|sig|signature|token|access_token"
    r"|api_key|password|secret)=)[^&\s\"'<>]+"
)
_AUTHORIZATION = re.compile(
    r"(?i)(\b(?:proxy-)?authorization\W{1,5}(?:(?:basic|bearer|token)\s+)?)(?!(?:basic|bearer|token)\b)[^\s\"',;}]{4,}"
)


class _Known:
    """The credentials to mask. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: set[str] = set()
        self.pattern: re.Pattern[str] | None = None
        """Matches each of them, in each spelling."""

    def add(self, credentials: Iterable[str]) -> None:
        new = {one for one in credentials if len(one) >= MIN_LENGTH}
        with self._lock:
            if not new <= self._credentials:
                self._credentials |= new
                self.pattern = _pattern_of(self._credentials)


_known = _Known()


def remember(*credentials: str | None) -> None:
    """Mask these credentials from now on."""
    _known.add(filter(None, credentials))


def remember_login(user: str | None, password: str | None) -> None:
    """Mask a password, unless it is the user's name, which is no secret."""
    if password and password != user:
        remember(password, base64.b64encode(f"{user}:{password}".encode()).decode())


def remember_pair(value: str) -> None:
    """Mask a credential that may have the form `user:password`."""
    remember(value)
    user, colon, password = value.partition(":")
    if colon:
        remember_login(user, password)


def remember_address(address: str | None) -> None:
    """Mask the password of an address such as `redis://user:password@host`."""
    try:
        parts = urlsplit(address or "")
        user, password = parts.username, parts.password
    except ValueError:
        return
    if password and password != user:
        remember(password, unquote(password))


def remember_environment() -> None:
    """Mask the credentials in the environment variables. Commands and runs begin with it."""
    remember_login(os.environ.get("CVAT_USER"), os.environ.get("CVAT_PASSWORD"))
    for name in VARIABLES:
        remember_pair(os.environ.get(name, ""))
    for name in ADDRESS_VARIABLES:
        remember_address(os.environ.get(name))


def has_user(address: str) -> bool:
    """Return whether an address contains a user name or a password."""
    return "@" in re.split(r"[/?#]", address.partition("://")[2] or address, maxsplit=1)[0]


def without_user(address: str) -> str:
    """Remove the user name and password from an address."""
    return _USER_IN_ADDRESS.sub(r"\1", address)


def mask(text: str) -> str:
    """Replace the credentials in a text by `***`."""
    if "://" in text:
        text = _USER_IN_ADDRESS.sub(rf"\1{MASK}@", text)
        text = _SIGNATURE.sub(rf"\1{MASK}", text)
    if "uthorization" in text or "UTHORIZATION" in text:
        text = _AUTHORIZATION.sub(rf"\1{MASK}", text)
    pattern = _known.pattern
    return pattern.sub(MASK, text) if pattern else text


def _pattern_of(credentials: Iterable[str]) -> re.Pattern[str]:
    spellings = {
        spelling
        for credential in credentials
        for spelling in (
            credential,
            quote(credential, safe=""),
            quote_plus(credential),
            json.dumps(credential)[1:-1],
            repr(credential)[1:-1],
        )
    }
    # The longest first: one credential may be the beginning of another.
    ordered = sorted(spellings, key=lambda one: (-len(one), one))
    return re.compile("|".join(map(_expression, ordered)))


def _expression(credential: str) -> str:
    found = re.escape(credential)
    if len(credential) >= MIN_LENGTH_INSIDE_WORDS:
        return found
    return rf"(?<![^\W_]){found}(?![^\W_])"


remember_environment()
