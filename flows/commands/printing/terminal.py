"""Print text that may come from outside: names of tasks, labels and frames, and errors."""

from __future__ import annotations

import sys

from rich.text import Text

from cvat_flows.tasks.model.text import on_one_line


def line(text: str) -> Text:
    """Return a text for a cell or a line of rich's, without anything that a terminal obeys."""
    return Text(on_one_line(text))


def say(text: str, *, error: bool = False) -> None:
    """Print one line, to the error output if `error`."""
    print(on_one_line(text), file=sys.stderr if error else sys.stdout, flush=True)
