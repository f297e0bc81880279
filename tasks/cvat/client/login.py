"""Log in to CVAT, and explain why that fails."""

from __future__ import annotations

import json
import ssl
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urljoin, urlsplit

from cvat_sdk import Client
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.client import AccessTokenCredentials

from cvat_flows.tasks.cvat.client.answers import read_answer
from cvat_flows.tasks.cvat.client.errors import TRANSIENT_STATUSES, body_of
from cvat_flows.tasks.cvat.client.explain import describe_body, detail_of, explain_refusal
from cvat_flows.tasks.cvat.client.response import open_response, response_error
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.model.credentials import remember
from cvat_flows.tasks.model.errors import CvatFlowsError

_VERIFY_HELP = (
    "name the file with its certificate, or with that of its authority, in SSL_CERT_FILE, or skip "
    "the check with --insecure or CVAT_VERIFY_SSL=0"
)


class CannotConnect(CvatFlowsError):
    """The CVAT server does not answer, or rejects the credentials."""

    def __init__(self, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        """Whether another attempt may succeed: CVAT is restarting, or it throttles logins."""


class NoSuchOrganization(CannotConnect):
    """The CVAT server has no organization of this name, or the user is not a member of it."""


def log_in(client: Client, settings: ServerSettings) -> None:
    """Log in and check that CVAT accepts the session.

    Raises ApiException, HTTPError, OSError and NotFromCvat.
    """
    token = None
    if settings.access_token:
        client.login(AccessTokenCredentials(settings.access_token))
    else:
        token = _send_password(client, settings)
    if settings.organization is not None:
        client.organization_slug = settings.organization
    remember_session(client)
    try:
        check_session(client)
    except exceptions.UnauthorizedException:
        if token is None:
            raise
        _use_token(client, token)
        check_session(client)


def _send_password(client: Client, settings: ServerSettings) -> str:
    """Begin a session with cookies, as the SDK does. Return the token that CVAT sends with them."""
    body = json.dumps({"username": settings.username, "password": settings.password}).encode()
    with open_response(client, "POST", "/api/auth/login", body=body) as response:
        if response.status != 200:
            raise response_error(response)
        answer = read_answer(response.read(), subject="the login", fields=["key"])
        cookies = SimpleCookie(response.headers.get("Set-Cookie"))
    client.api_client.cookies.update(cookies)
    if "csrftoken" in cookies:
        csrf_token = cookies["csrftoken"].value
        client.api_client.configuration.api_key["csrfHeaderAuth"] = csrf_token
    remember(str(answer["key"]))
    return str(answer["key"])


def _use_token(client: Client, token: str) -> None:
    """Go on without cookies, which a proxy keeps back.

    Cookies come first, because the token ends when the user logs out anywhere.
    """
    client.api_client.cookies.clear()
    configuration = client.api_client.configuration
    configuration.api_key.pop("csrfHeaderAuth", None)
    configuration.api_key["tokenAuth"] = token
    configuration.api_key_prefix["tokenAuth"] = "Token"


def remember_session(client: Client) -> None:
    """Mask the client's session cookies and tokens in texts."""
    api = client.api_client
    remember(
        api.configuration.access_token,
        *(cookie.value for cookie in api.cookies.values()),
        *api.configuration.api_key.values(),
        *(api.default_headers.get("Authorization") or "").split()[1:],
    )


def check_session(client: Client) -> None:
    """Ask CVAT who the user is. Raises ApiException, HTTPError, OSError and NotFromCvat.

    A redirect is an error: requests that write are not redirected, so they need the final address.
    """
    with open_response(client, "GET", "/api/users/self", follow_redirects=False) as response:
        if response.status != 200:
            raise response_error(response)
        read_answer(response.read(), subject="the user", fields=["username"])


def login_error(settings: ServerSettings, error: Any) -> CvatFlowsError:
    """Return the error that explains a failed login."""
    if not isinstance(error, exceptions.ApiException):
        return _network_error(settings, error)
    host, status, body = settings.host, int(error.status or 0), body_of(error)
    user = settings.username or "the access token"
    from_cvat = detail_of(body) is not None
    if 300 <= status < 400:
        target = urlsplit(urljoin(host, (error.headers or {}).get("Location") or ""))
        return CannotConnect(
            f"the CVAT server {host} redirects to {target.scheme}://{target.netloc}: use that "
            "address, because uploads are not redirected"
        )
    if status in (400, 401) and from_cvat:
        return CannotConnect(
            f"the CVAT server {host} does not accept the credentials of {user}: check the user "
            "name and password, or create a new access token in CVAT; if they are right, a proxy "
            "may keep back the headers Cookie and Authorization"
        )
    if status == 404 and settings.organization and from_cvat:
        return NoSuchOrganization(
            f"the CVAT server {host} has no organization {settings.organization!r}, or {user} is "
            "not a member of it"
        )
    if status == 429:
        return CannotConnect(
            f"the CVAT server {host} throttles logins from this address: wait a minute, or use an "
            "access token",
            is_transient=True,
        )
    if status == 403:
        return CannotConnect(f"the login to {host}: {explain_refusal(status, body, user=user)}")
    answer = f"{host} answered {status} to a login ({describe_body(body)})"
    if status in (400, 404) and not from_cvat:
        return CannotConnect(
            f"{answer}: check that this is the address of a CVAT server, with the host name that "
            "CVAT was set up with (CVAT_HOST of its docker compose); its proxy answers to no other"
        )
    return CannotConnect(
        f"{answer}: check that this is the address of a CVAT server and that it is up",
        is_transient=status in TRANSIENT_STATUSES,
    )


def _network_error(settings: ServerSettings, error: BaseException) -> CannotConnect:
    host, cause = settings.host, _cause(error)
    server = f"the CVAT server {host}"
    if "://" not in host:
        server = (
            f"the CVAT server https://{host} (the address has no http:// or https://, so https:// "
            "was used)"
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CannotConnect(
            f"the TLS certificate of {server} cannot be verified ({cause.verify_message}): "
            f"{_VERIFY_HELP}"
        )
    if isinstance(cause, ssl.SSLError):
        return CannotConnect(
            f"{server} does not speak TLS ({cause.reason or cause}): if it has no https, write "
            f"http://{host.rpartition('://')[2]}"
        )
    text = str(cause).rpartition(": ")[2].strip() or type(cause).__name__
    return CannotConnect(
        f"{server} cannot be reached ({text}): check the address and that the server is up",
        is_transient=not isinstance(error, ValueError),
    )


def _cause(error: BaseException) -> BaseException:
    """Return the innermost reason of a connection error."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException) and error.args:
        inner = error.args[-1]
    return _cause(inner) if isinstance(inner, BaseException) and inner is not error else error
