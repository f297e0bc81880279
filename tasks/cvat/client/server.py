"""The address and credentials of a CVAT server, and where they come from.

Credentials are never flow parameters, because Prefect stores and shows those. A flow names a block
or uses the settings of its environment.
"""

from __future__ import annotations

import os

from attrs import field, frozen
from cvat_sdk.core.auth import AuthStore
from cvat_sdk.core.exceptions import AuthStoreError

from cvat_flows.tasks.model.credentials import has_user, remember, remember_login
from cvat_flows.tasks.model.errors import CvatFlowsError

ENVIRONMENT_HELP = (
    "set CVAT_HOST with CVAT_ACCESS_TOKEN (or CVAT_USER and CVAT_PASSWORD), save a profile with "
    "`cvat-cli profile create`, or create a CVATServer block in Prefect"
)


class ServerSettingsError(CvatFlowsError):
    """The CVAT server's address or credentials are missing or contradictory."""


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
        verify_ssl=verify_ssl_from_environment(),
    )


def verify_ssl_from_environment() -> bool:
    """Return whether `CVAT_VERIFY_SSL` says to check the server's TLS certificate."""
    return os.environ.get("CVAT_VERIFY_SSL", "1").lower() not in {"0", "false", "no"}


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
    return ServerSettings(
        host=entry.server, access_token=entry.token, verify_ssl=verify_ssl_from_environment()
    )
