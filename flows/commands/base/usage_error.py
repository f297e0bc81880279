"""The error of a wrong command line."""

from __future__ import annotations

from cvat_flows.tasks.model.errors import CvatFlowsError


class UsageError(CvatFlowsError):
    """An option has a value that it does not accept. The message names the flag."""


def flag(field: str) -> str:
    """Return the flag of a field of a parameter model: `--label-mapping`."""
    return f"--{field.replace('_', '-')}"
