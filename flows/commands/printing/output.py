"""What a command prints: text for people, JSON for programs, or nothing (`--json`, `--quiet`)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cvat_flows.tasks.model.text import clean, on_one_line

if TYPE_CHECKING:
    from rich.console import RenderableType


def add_output_arguments(parser: argparse.ArgumentParser, *, of: str = "result") -> None:
    """Add `--json` and `--quiet`. `of` says what has a line of JSON of its own."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help=f"print one line of JSON for each {of}")
    group.add_argument(
        "--quiet",
        "-q",
        action="store_true",
        help="print errors only; the exit status says the rest",
    )


@frozen(kw_only=True)
class Output:
    """Prints the results of a command as its options ask for it."""

    json: bool = False
    quiet: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Output:
        """Return the output that the options of `add_output_arguments` select."""
        return cls(json=arguments.json, quiet=arguments.quiet)

    @property
    def is_text(self) -> bool:
        """Whether people read the results."""
        return not self.json and not self.quiet

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        from rich.console import Console

        return Console().width

    def show(self, *parts: RenderableType) -> None:
        """Print tables or texts of rich's for people."""
        if self.is_text:
            from rich.console import Console

            console = Console(highlight=False)
            for part in parts:
                console.print(part)

    def say(self, text: str) -> None:
        """Print one line for people."""
        if self.is_text:
            print(on_one_line(text), flush=True)

    def note(self, text: str) -> None:
        """Print one line about what is going on to the error output, unless `--quiet`."""
        if not self.quiet:
            print(on_one_line(text), file=sys.stderr, flush=True)

    def row(self, values: Mapping[str, Any]) -> None:
        """Print a line of JSON for programs."""
        if self.json:
            print(clean(json.dumps(values, ensure_ascii=False, default=str)), flush=True)
