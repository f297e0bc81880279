"""The options of `cvat-cli` that select a CVAT server and an account."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cvat_sdk.core.auth import configure_client_auth_arguments

from cvat_flows.flows.commands.base.usage_error import flag
from cvat_flows.tasks.cvat.client.server import (
    ServerSettings,
    ServerSettingsError,
    settings_from_profile,
    verify_ssl_from_environment,
)
from cvat_flows.tasks.cvat.client.settings import command_line_overrides, command_line_settings

_SELECTING = ("profile", "server_host", "server_port", "auth")
_ALL = (*_SELECTING, "organization", "insecure")


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cvat-cli` for the server, the credentials and the organization."""
    group = parser.add_argument_group("CVAT server")
    configure_client_auth_arguments(group)
    for action in group._group_actions:
        if action.nargs != 0 and action.metavar is None:
            action.metavar = action.dest.rpartition("_")[2].upper()  # HOST, PORT


def use_server_arguments(arguments: argparse.Namespace, *, block: str | None = None) -> None:
    """Make all runs in this process use the server that the options select.

    Args:
        block: The CVATServer block that selects the server. By default, the one of `--server`.

    Raises:
        ServerSettingsError: The options contradict each other.
    """
    selecting = given_server_options(arguments, _SELECTING)
    _check(arguments, selecting, block or getattr(arguments, "server", None))
    settings: ServerSettings | None = None
    if arguments.profile:
        settings = settings_from_profile(arguments.profile)
    elif selecting:
        host = arguments.server_host.rstrip("/")
        if arguments.server_port:
            host = f"{host}:{arguments.server_port}"
        credentials = arguments.auth(host)
        settings = ServerSettings(
            host=host,
            username=credentials.user,
            password=credentials.password,
            verify_ssl=verify_ssl_from_environment(),
        )
    overrides: dict[str, Any] = {}
    if arguments.organization is not None:
        overrides["organization"] = arguments.organization
    if arguments.insecure:
        overrides["verify_ssl"] = False
    command_line_settings.set(settings)
    command_line_overrides.set(overrides)


def given_server_options(arguments: argparse.Namespace, names: Sequence[str] = _ALL) -> list[str]:
    """Return the flags about the CVAT server that were given."""
    return [flag(name) for name in names if getattr(arguments, name) not in (None, False)]


def _check(arguments: argparse.Namespace, selecting: list[str], block: str | None) -> None:
    if not selecting:
        return
    if block:
        raise ServerSettingsError(
            f"the CVATServer block {block!r} selects the server: remove {', '.join(selecting)}"
        )
    if arguments.profile:
        if len(selecting) > 1:
            raise ServerSettingsError(
                f"--profile selects the server: remove {', '.join(selecting[1:])}"
            )
    elif not (arguments.server_host and arguments.auth):
        raise ServerSettingsError(
            f"{', '.join(selecting)} is not enough: give --server-host and --auth together; "
            "--server-port is optional"
        )
