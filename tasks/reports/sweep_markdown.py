"""The report of a sweep, in markdown: the CVAT tasks, what happened to each, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from cvat_flows.tasks.model.text import counted, escape_markdown, link, shorten_name, table

MAX_ROWS = 300
"""Rows of the table, which Prefect stores three times. The other tasks are only counted."""
_RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})$")


@frozen(kw_only=True)
class SweepLine:
    """One CVAT task of a sweep."""

    task_id: int
    name: str
    url: str
    """Address of the task in CVAT."""
    rule: str
    outcome: str
    text: str = ""
    """What was done, or why nothing was done."""
    run_url: str | None = None
    """Address of the flow run that annotates the task."""


def sweep_markdown(
    sentence: str, counts: Mapping[str, int], lines: Sequence[SweepLine], errors: Sequence[str] = ()
) -> str:
    """Make the report of a sweep.

    Args:
        sentence: The result in one sentence.
        counts: Number of tasks by outcome, including tasks without a line.
        lines: Tasks, with those first that need attention.
        errors: Rules that could not be applied, or leave tasks because of their quality.
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
                [_cells(line) for line in lines[:MAX_ROWS]],
            )
        )
    if len(lines) > MAX_ROWS:
        parts.append(f"and {counted(len(lines) - MAX_ROWS, 'more task')}")
    return "\n\n".join(parts)


def _cells(line: SweepLine) -> list[str]:
    links = link("CVAT", line.url)
    run = _RUN.search(line.run_url or "")
    if run:
        # A relative link works in both UIs, V1 and V2.
        links += f" {link('run', f'../../runs/flow-run/{run[1]}')}"
    return [
        str(line.task_id),
        escape_markdown(shorten_name(line.name)),
        links,
        escape_markdown(line.rule, 60),
        line.outcome,
        escape_markdown(line.text, 200),
    ]
