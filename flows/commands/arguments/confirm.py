"""Ask before a command changes something that it found by itself."""

from __future__ import annotations

import sys
from typing import Any

from cvat_flows.flows.commands.base.usage_error import UsageError


def add_yes_argument(parser: Any) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", "-y", action="store_true", help="do it without a confirmation")


def confirm(question: str, *, yes: bool) -> bool:
    """Return whether the person agrees. With `yes`, nobody is asked.

    Raises:
        UsageError: There is no terminal on which to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"nothing was changed: nobody can be asked ({question}): use --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
