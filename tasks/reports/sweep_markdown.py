"""The report of a sweep in markdown: which CVAT tasks it found, what became of each, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from cvat_flows.tasks.model.text import escape_markdown, link, shorten_name, table

MOST_ROWS = 300
"""Rows of the table, which Prefect stores three times; of the other tasks the number is told."""
_RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})$")


@frozen(kw_only=True)
class SweepLine:
    """One CVAT task of a sweep."""

    task_id: int
    name: str
    url: str
    """Of the task in CVAT."""
    rule: str
    outcome: str
    text: str = ""
    """What was done, or why nothing was."""
    run_url: str | None = None
    """Of the flow run that annotates it."""


def sweep_markdown(
    sentence: str, counts: Mapping[str, int], lines: Sequence[SweepLine], errors: Sequence[str] = ()
) -> str:
    """The report; `lines` come with those first that a person has to look at.

    `counts` are tasks by outcome, those that have no line of their own included.
    """
    found = sum(counts.values())
    parts = [
        "## Sweep",
        f"**{escape_markdown(sentence, 1500)}**",
        table(
            ["CVAT tasks", ""],
            [["found", f"{found:,}"], *([name, f"{count:,}"] for name, count in counts.items())],
        ),
    ]
    if errors:
        parts.append("\n".join(f"- {escape_markdown(error, 500)}" for error in errors))
    if lines:
        parts.append(
            table(
                ["task", "name", "open", "rule", "outcome", "what"],
                [_cells(line) for line in lines[:MOST_ROWS]],
            )
        )
    if len(lines) > MOST_ROWS:
        parts.append(f"and {len(lines) - MOST_ROWS:,} more tasks")
    return "\n\n".join(parts)


def _cells(line: SweepLine) -> list[str]:
    links = link("CVAT", line.url)
    run = _RUN.search(line.run_url or "")
    if run:
        # Relative: it stays in the UI, V1 or V2, that shows it.
        links += f" {link('run', f'../../runs/flow-run/{run[1]}')}"
    return [
        str(line.task_id),
        escape_markdown(shorten_name(line.name)),
        links,
        escape_markdown(line.rule, 60),
        line.outcome,
        escape_markdown(line.text, 200),
    ]
