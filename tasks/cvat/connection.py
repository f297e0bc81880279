"""Find the address and credentials of the CVAT server, and log in once per process.

Credentials are never flow parameters, because Prefect stores and shows those. A flow names a block
or uses the settings of its environment, and each process logs in for itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from attrs import field, frozen
from cvat_sdk import Client, Config
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.auth import AuthStore
from cvat_sdk.core.client import AccessTokenCredentials, PasswordCredentials
from cvat_sdk.core.exceptions import AuthStoreError

from cvat_flows.tasks.cvat.errors import TRANSIENT_STATUSES
from cvat_flows.tasks.cvat.retry import DEFAULT_POLICY
from cvat_flows.tasks.model.credentials import has_user, remember, remember_login
from cvat_flows.tasks.model.errors import CvatFlowsError

ENVIRONMENT_HELP = (
    "set CVAT_HOST with CVAT_ACCESS_TOKEN (or CVAT_USER and CVAT_PASSWORD), save a profile with "
    "`cvat-cli profile create`, or create a CVATServer block in Prefect"
)


class ServerSettingsError(CvatFlowsError):
    """The CVAT server's address or credentials are missing or contradictory."""


class CannotConnect(CvatFlowsError):
    """The CVAT server does not answer, or rejects the credentials."""

    def __init__(self, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        """Whether another attempt may succeed: CVAT is restarting, or it throttles logins."""


@frozen(kw_only=True)
class ServerSettings:
    """Address and credentials of a CVAT server. `repr` hides the secrets."""

    host: str
    access_token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    organization: str | None = None
    """Slug. An empty string means the personal workspace, None means CVAT's default."""
    verify_ssl: bool = True

    def __attrs_post_init__(self) -> None:
        if has_user(self.host):
            raise ServerSettingsError(
                "the address of the CVAT server contains a user name or a password: remove them "
                "from the address (CVAT_HOST, --server-host or the block's host) and give them as "
                "CVAT_USER and CVAT_PASSWORD, with --auth, or in the block's own fields"
            )
        remember(self.access_token)
        remember_login(self.username, self.password)
        if not self.access_token and not (self.username and self.password):
            raise ServerSettingsError(
                f"no credentials for the CVAT server {self.host}: {ENVIRONMENT_HELP}"
            )


def settings_from_environment() -> ServerSettings | None:
    """Read the settings from `CVAT_HOST`, `CVAT_USER` and so on; None if `CVAT_HOST` is not set."""
    environ = os.environ
    host = environ.get("CVAT_HOST")
    if not host:
        return None
    return ServerSettings(
        host=host,
        access_token=environ.get("CVAT_ACCESS_TOKEN"),
        username=environ.get("CVAT_USER"),
        password=environ.get("CVAT_PASSWORD"),
        organization=environ.get("CVAT_ORGANIZATION"),
        verify_ssl=environ.get("CVAT_VERIFY_SSL", "1").lower() not in {"0", "false", "no"},
    )


def settings_from_profile(name: str | None = None) -> ServerSettings | None:
    """Read the settings from a `cvat-cli` profile, by default from the default profile.

    Returns None if no name is given and there is no default profile. Raises ServerSettingsError.
    """
    try:
        store = AuthStore()
        entry = (
            store.get_profile(name) if name else (store.get_default_profile() or (None, None))[1]
        )
    except AuthStoreError as error:
        raise ServerSettingsError(f"cannot read the profiles of cvat-cli: {error}") from error
    if entry is None:
        if name:
            raise ServerSettingsError(
                f"cvat-cli has no profile {name!r}: run `cvat-cli profile list` to see them"
            )
        return None
    return ServerSettings(host=entry.server, access_token=entry.token)


def remember_session(client: Client) -> None:
    """Mask the client's session cookies and tokens in texts."""
    api = client.api_client
    remember(
        api.configuration.access_token,
        *(cookie.value for cookie in api.cookies.values()),
        *(api.default_headers.get("Authorization") or "").split()[1:],
    )


def connect(settings: ServerSettings) -> Client:
    """Log in to CVAT and return the client.

    CVAT throttles logins, so each process keeps one client per settings and logs in
    again only when CVAT no longer accepts it. Raises CannotConnect.
    """
    with _lock:
        client = _clients.get(settings)
        if client is None or not _is_logged_in(client):
            client = _log_in(settings)
            _clients[settings] = client
        return client


def _log_in(settings: ServerSettings) -> Client:
    login = settings.username or "the access token"
    try:
        client = Client(
            url=settings.host,
            config=Config(verify_ssl=settings.verify_ssl),
            check_server_version=False,
        )
        _set_default_timeout(client)
        client.login(
            AccessTokenCredentials(settings.access_token)
            if settings.access_token
            else PasswordCredentials(settings.username, settings.password)
        )
        if settings.organization is not None:
            client.organization_slug = settings.organization
        remember_session(client)
        client.api_client.users_api.retrieve_self()
    except exceptions.ApiException as error:
        raise _login_error(settings, login, error) from None
    except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
        raise CannotConnect(
            f"the CVAT server {settings.host} cannot be reached ({_cause(error)}): "
            "check the address and that the server is up",
            is_transient=not isinstance(error, ValueError),
        ) from None
    return client


def _login_error(settings: ServerSettings, login: str, error: Any) -> CannotConnect:
    if error.status in (400, 401):
        return CannotConnect(
            f"the CVAT server {settings.host} does not accept the credentials of {login}: check "
            "the user name and password, or create a new access token in CVAT"
        )
    if error.status == 404 and settings.organization:
        return CannotConnect(
            f"the CVAT server {settings.host} has no organization {settings.organization!r}, or "
            f"{login} is not a member of it"
        )
    if error.status == 429:
        return CannotConnect(
            f"the CVAT server {settings.host} throttles logins from this address: wait a minute, "
            "or use an access token",
            is_transient=True,
        )
    return CannotConnect(
        f"{settings.host} answered {error.status} {error.reason} to a login: check that this is "
        "the address of a CVAT server and that it is up",
        is_transient=error.status in TRANSIENT_STATUSES,
    )


def _is_logged_in(client: Client) -> bool:
    """Return whether CVAT still accepts the client's session or token."""
    try:
        client.api_client.users_api.retrieve_self()
    except (exceptions.ApiException, urllib3.exceptions.HTTPError, OSError):
        return False
    return True


def _set_default_timeout(client: Client) -> None:
    pool = client.api_client.rest_client.pool_manager
    send: Callable[..., Any] = pool.request
    policy = DEFAULT_POLICY
    default = urllib3.Timeout(connect=policy.connect_timeout, read=policy.read_timeout)

    def request(*args: Any, timeout: Any = None, **kwargs: Any) -> Any:
        return send(*args, timeout=timeout or default, **kwargs)

    pool.request = request


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a connection error, in a few words."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException) and reason is not error:
        return _cause(reason)
    text = str(error).rpartition(": ")[2] or str(error)
    return text.strip() or type(error).__name__


_clients: dict[ServerSettings, Client] = {}
_lock = threading.Lock()
