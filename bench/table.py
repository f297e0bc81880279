"""The rows of the measurements, and printing them as a table."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from rich.console import Console
from rich.table import Table


@frozen(kw_only=True)
class Row:
    """One target and its measurement."""

    what: str
    measured: str
    ratio: float
    target: str
    met: bool
    note: str = ""


@frozen(kw_only=True)
class NotMeasured:
    """A target that cannot be measured on this machine."""

    what: str
    reason: str


def print_table(rows: Iterable[Row | NotMeasured]) -> None:
    """Print the rows; mark each target as met or missed."""
    table = Table("what", "measured", "ratio", "target", "met", "note", title="cvat-flows")
    for row in rows:
        if isinstance(row, Row):
            met = "[green]yes[/]" if row.met else "[red]no[/]"
            table.add_row(row.what, row.measured, f"{row.ratio:.2f}", row.target, met, row.note)
        else:
            table.add_row(row.what, "-", "-", "-", "-", row.reason)
    Console(width=200 if not Console().is_terminal else None).print(table)
