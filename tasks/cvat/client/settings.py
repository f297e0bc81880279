"""Where a run finds the settings of the CVAT server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cvat_flows.tasks.cvat.client.server import (
    ENVIRONMENT_HELP,
    ServerSettings,
    ServerSettingsError,
    settings_from_environment,
    settings_from_profile,
)
from cvat_flows.tasks.engine.configured import prefect_is_configured

if TYPE_CHECKING:
    from cvat_flows.tasks.cvat.client.server_block import CVATServer

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
        default = _default_block()
        found = default.settings() if default else settings_from_profile()
    if found is None:
        raise ServerSettingsError(f"no CVAT server is configured: {ENVIRONMENT_HELP}")
    return _with_overrides(found)


def settings_without_block() -> ServerSettings | None:
    """Find the settings as `find_settings` does, but without blocks; None if there are none."""
    found = command_line_settings.get() or settings_from_environment() or settings_from_profile()
    return _with_overrides(found) if found else None


def _with_overrides(settings: ServerSettings) -> ServerSettings:
    return evolve(settings, **(command_line_overrides.get() or {}))


def _default_block() -> CVATServer | None:
    if prefect_is_configured():
        with suppress(ServerSettingsError):
            return _load_block(DEFAULT_BLOCK)
    return None


def _load_block(name: str) -> CVATServer:
    if not prefect_is_configured():
        raise ServerSettingsError(
            f"the CVATServer block {name!r} is on a Prefect server, and none is configured: set "
            "PREFECT_API_URL, or leave the option empty to use the environment"
        )
    from cvat_flows.tasks.cvat.client.server_block import CVATServer

    try:
        block = CVATServer.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        raise ServerSettingsError(
            f"Prefect has no CVATServer block {name!r}: create one in the UI under Blocks, or "
            "leave the option empty to use the environment"
        ) from error
    assert isinstance(block, CVATServer)
    return block
