"""The Prefect block of a CVAT server, and where a flow run finds the server's settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from attrs import evolve
from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from cvat_flows.tasks.cvat.connection import (
    ENVIRONMENT_HELP,
    ServerSettings,
    ServerSettingsError,
    settings_from_environment,
    settings_from_profile,
)

DEFAULT_BLOCK = "default"

command_line_settings: ContextVar[ServerSettings | None] = ContextVar(
    "command_line_settings", default=None
)
"""Settings from command-line options. They are not flow parameters because Prefect stores and
shows those."""
command_line_overrides: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "command_line_overrides", default=None
)
"""Fields that command-line options override, wherever the settings come from."""


class CVATServer(Block):
    """Address and credentials of a CVAT server."""

    _block_type_name = "CVAT server"
    _block_type_slug = "cvat-server"
    _description = "Address and credentials of a CVAT server that cvat-flows annotates."

    host: str = Field(description="Address, for example https://cvat.example.com")
    access_token: SecretStr | None = Field(
        default=None,
        description="Personal access token with write access; preferred to a password",
    )
    username: str | None = Field(default=None, description="User name, if there is no token")
    password: SecretStr | None = Field(default=None, description="Password of the user")
    organization: str | None = Field(
        default=None, description="Slug of the organization; empty for the personal workspace"
    )
    verify_ssl: bool = Field(default=True, description="Check the server's TLS certificate")

    def settings(self) -> ServerSettings:
        """Return the block's values as settings for `connect`."""
        return ServerSettings(
            host=self.host,
            access_token=self.access_token.get_secret_value() if self.access_token else None,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            organization=self.organization,
            verify_ssl=self.verify_ssl,
        )


def find_settings(block: str | None = None) -> ServerSettings:
    """Find the server's settings for a run.

    The first of these that exists is used: the named block, command-line options, the environment,
    the block `default`, the default profile of cvat-cli.

    Raises ServerSettingsError if there are none, or if the named block does not exist.
    """
    if block:
        return _with_overrides(_load_block(block).settings())
    found = command_line_settings.get() or settings_from_environment()
    if found is None:
        try:
            default = _load_block(DEFAULT_BLOCK)
        except ServerSettingsError:
            found = settings_from_profile()
        else:
            found = default.settings()
    if found is None:
        raise ServerSettingsError(f"no CVAT server is configured: {ENVIRONMENT_HELP}")
    return _with_overrides(found)


def settings_without_block() -> ServerSettings | None:
    """Find the settings as `find_settings` does, but without blocks; None if there are none."""
    found = command_line_settings.get() or settings_from_environment() or settings_from_profile()
    return _with_overrides(found) if found else None


def _with_overrides(settings: ServerSettings) -> ServerSettings:
    return evolve(settings, **(command_line_overrides.get() or {}))


def _load_block(name: str) -> CVATServer:
    try:
        block = CVATServer.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        raise ServerSettingsError(
            f"Prefect has no CVATServer block {name!r}: create one in the UI under Blocks, or "
            "leave the option empty to use the environment"
        ) from error
    assert isinstance(block, CVATServer)
    return block
