"""Log in to CVAT once per process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import urllib3
from cvat_sdk import Client, Config
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.exceptions import InvalidHostException

from cvat_flows.tasks.cvat.client.answers import NotFromCvat
from cvat_flows.tasks.cvat.client.login import CannotConnect, check_session, log_in, login_error
from cvat_flows.tasks.cvat.client.retry import DEFAULT_POLICY
from cvat_flows.tasks.cvat.client.server import ServerSettings, ServerSettingsError


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
    if not settings.verify_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        client = Client(
            url=settings.host,
            config=Config(verify_ssl=settings.verify_ssl),
            check_server_version=False,
        )
        _set_default_timeout(client)
        log_in(client, settings)
    except InvalidHostException as error:
        raise ServerSettingsError(f"CVAT's address {settings.host!r}: {error}") from None
    except (exceptions.ApiException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
        raise login_error(settings, error) from None
    except NotFromCvat as error:
        raise CannotConnect(str(error), is_transient=True) from None
    return client


def _is_logged_in(client: Client) -> bool:
    """Return whether CVAT still accepts the client's session or token."""
    try:
        check_session(client)
    except (exceptions.ApiException, urllib3.exceptions.HTTPError, OSError, NotFromCvat):
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


_clients: dict[ServerSettings, Client] = {}
_lock = threading.Lock()
