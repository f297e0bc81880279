"""A measurement as a row, and the rows as a table."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from rich.console import Console
from rich.table import Table


@frozen(kw_only=True)
class Row:
    """One target and what was measured."""

    what: str
    measured: str
    ratio: float
    target: str
    met: bool
    note: str = ""


@frozen(kw_only=True)
class NotMeasured:
    """A target that this machine or call leaves out."""

    what: str
    reason: str


def print_table(rows: Iterable[Row | NotMeasured]) -> None:
    """Print the rows with a mark for each target met or missed."""
    table = Table("what", "measured", "ratio", "target", "met", "note", title="cvat-flows")
    for row in rows:
        if isinstance(row, Row):
            met = "[green]yes[/]" if row.met else "[red]no[/]"
            table.add_row(row.what, row.measured, f"{row.ratio:.2f}", row.target, met, row.note)
        else:
            table.add_row(row.what, "-", "-", "-", "-", row.reason)
    Console(width=200 if not Console().is_terminal else None).print(table)
