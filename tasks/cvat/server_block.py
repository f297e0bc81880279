"""The CVAT server as a Prefect block, and how a flow run finds its server."""

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

chosen_settings: ContextVar[ServerSettings | None] = ContextVar("chosen_settings", default=None)
"""Settings that the command line took from its options. They are kept out of the flow's
parameters because Prefect stores and shows those."""
chosen_changes: ContextVar[Mapping[str, Any] | None] = ContextVar("chosen_changes", default=None)
"""What the command line's options change in the settings, wherever those come from."""


class CVATServer(Block):
    """Address and credentials of a CVAT server."""

    _block_type_name = "CVAT server"
    _block_type_slug = "cvat-server"
    _description = "Address and credentials of a CVAT server that cvat-flows annotates."

    host: str = Field(description="Address, for example https://cvat.example.com")
    access_token: SecretStr | None = Field(
        default=None,
        description="Personal access token that may write; preferred to a password",
    )
    username: str | None = Field(default=None, description="User name, if there is no token")
    password: SecretStr | None = Field(default=None, description="Password of that user")
    organization: str | None = Field(
        default=None, description="Slug of the organization; empty for the personal workspace"
    )
    verify_ssl: bool = Field(default=True, description="Check the server's TLS certificate")

    def settings(self) -> ServerSettings:
        return ServerSettings(
            host=self.host,
            access_token=self.access_token.get_secret_value() if self.access_token else None,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            organization=self.organization,
            verify_ssl=self.verify_ssl,
        )


def find_settings(block: str | None = None) -> ServerSettings:
    """Settings for a run: the named block, else the command line's options, the environment, the
    block `default`, the default profile of cvat-cli, in this order.

    Raises ServerSettingsError.
    """
    if block:
        return _changed(_load_block(block).settings())
    found = chosen_settings.get() or settings_from_environment()
    if found is None:
        try:
            default = _load_block(DEFAULT_BLOCK)
        except ServerSettingsError:
            found = settings_from_profile()
        else:
            found = default.settings()
    if found is None:
        raise ServerSettingsError(f"no CVAT server is named: {ENVIRONMENT_HELP}")
    return _changed(found)


def settings_without_block() -> ServerSettings | None:
    """As `find_settings`, but for what is in Prefect; None if nothing names a server."""
    found = chosen_settings.get() or settings_from_environment() or settings_from_profile()
    return _changed(found) if found else None


def _changed(settings: ServerSettings) -> ServerSettings:
    return evolve(settings, **(chosen_changes.get() or {}))


def _load_block(name: str) -> CVATServer:
    try:
        block = CVATServer.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        raise ServerSettingsError(
            f"Prefect has no CVATServer block {name!r}: make one in the UI under Blocks, or leave "
            "the option empty to use the environment"
        ) from error
    assert isinstance(block, CVATServer)
    return block
