"""Tables that can be read on a terminal of 80 columns.

Numbers are never cut, and text is folded. A table of figures that is too wide is printed with fewer
columns; the report has them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from attrs import evolve, frozen
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cvat_flows.flows.commands.printing.terminal import line

MAX_LABEL, NARROW_LABEL = 24, 14
"""Longer labels are folded: always, and where the terminal is narrow."""
ALL = "all"
"""The label of the last row of figures."""
_UNLIMITED = 10_000
_NOTHING = {"0", "-", ""}


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Make a table of names and facts, without headings."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(name, line(fact))
    return table


def light_table(
    *headings: str,
    numbers: Collection[str] = (),
    whole: Collection[str] = (),
    title: str = "",
    gap: int = 2,
) -> Table:
    """Make a table without rows.

    Args:
        headings: The headings.
        numbers: Those of columns with numbers, which are never wrapped or cut.
        whole: Those of other columns that are never wrapped or cut. All others are folded.
        title: The table's title.
        gap: Blanks between columns, at least one.
    """
    table = Table(
        title=line(title) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
    )
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in numbers else "left",
            no_wrap=heading in numbers or heading in whole,
            overflow="fold",
        )
    return table


@frozen(kw_only=True)
class Figures:
    """Rows of figures, with a label in the first column.

    >>> rows = [("car", "7", "0.412"), ("all", "7", "0.412")]
    >>> figures = Figures(headings=("label", "true", "AP50"), rows=rows)
    >>> figures.without("true").rows
    [('car', '0.412'), ('all', '0.412')]
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Collection[str] = ()
    """Headings of columns that hold words, not numbers."""

    def without(self, heading: str) -> Figures:
        """Leave out a column."""
        place = list(self.headings).index(heading)
        return evolve(
            self,
            headings=(*self.headings[:place], *self.headings[place + 1 :]),
            rows=[(*row[:place], *row[place + 1 :]) for row in self.rows],
        )

    def narrower(self, spare: Sequence[str]) -> Iterator[Figures]:
        """Yield the figures with ever fewer columns.

        Those of the columns `spare` that have nothing to say go first, then the rest in order.
        """
        figures = self
        yield figures
        for heading in sorted(spare, key=lambda heading: not self._is_empty(heading)):
            figures = figures.without(heading)
            yield figures

    def table(self, *, title: str = "", max_label: int = MAX_LABEL) -> Table:
        """Make the table."""
        label, *others = self.headings
        numbers = [heading for heading in others if heading not in self.words]
        table = light_table(label, *others, numbers=numbers, whole=self.words, title=title)
        table.columns[0].max_width = max_label
        for row in self.rows:
            table.add_row(*map(line, row), style="bold" if row[0] == ALL else None)
        return table

    def _is_empty(self, heading: str) -> bool:
        place = list(self.headings).index(heading)
        return all(row[place] in _NOTHING for row in self.rows)


def first_that_fits(choices: Iterable[Figures], *, width: int) -> Figures:
    """Return the first figures whose table is not wider than `width`; the last if none is."""
    console = Console(width=_UNLIMITED)
    for figures in choices:
        table = figures.table(max_label=NARROW_LABEL)
        if Measurement.get(console, console.options, table).maximum <= width:
            break
    return figures
