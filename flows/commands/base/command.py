"""What a command is. Imports nothing heavy: a command that needs little must start quickly."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from attrs import frozen


@frozen(kw_only=True)
class Command:
    """A command of `cvat-flows`. Entry points of the group `cvat_flows.commands` refer to them.

    The first paragraph of its module's docstring says what it does (flows.commands.base.listing).
    """

    name: str
    configure: Callable[[argparse.ArgumentParser], None]
    """Adds the arguments."""
    run: Callable[[argparse.Namespace], int]
    """Does the work and returns the exit status."""
