"""What the commands about the quality of detections print and write."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import Figures, first_that_fits, light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.tasks.evaluate.corrections import RankedFrame
from cvat_flows.tasks.evaluate.queue.order import QueuedJob
from cvat_flows.tasks.model.media import TaskMedia

MAX_RANKED = 10
"""Frames that are printed."""
MAX_QUEUED = 100
"""Jobs that are printed."""


def add_output_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--output`."""
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder for the report and its tables (markdown, CSV, JSON), which is created",
    )


def write_output(folder: Path, files: Mapping[str, bytes], page: str, output: Output) -> None:
    """Write files into the folder of `--output`, and say where the page for people is.

    Raises UsageError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be written ({error.strerror})") from error
    output.say(f"report: {(folder / page).absolute()}")


def show_figures(
    figures: Figures,
    output: Output,
    *,
    spare: Sequence[str],
    short: Figures | None = None,
    title: str = "",
) -> None:
    """Print figures, on a narrow terminal without their intervals, then with fewer columns.

    Args:
        figures: The figures.
        output: Where to print.
        spare: The columns that are left out, in this order.
        short: The same without intervals, if the figures have any that can be left out.
        title: The title of the table.
    """
    choices = [figures, *(short or figures).narrower(spare)]
    shown = first_that_fits(choices, width=output.width)
    output.show(shown.table(title=title))
    missing = [heading for heading in figures.headings if heading not in shown.headings]
    if short is not None and shown is not figures:
        missing.append("95 % intervals")
    if missing:
        output.say(f"only in the report (--output FOLDER): {', '.join(missing)}")


def show_ranked(media: TaskMedia, ranked: Sequence[RankedFrame], output: Output) -> None:
    """Print the frames that need most corrections."""
    if not ranked:
        return
    first = light_table(
        *("frame", "name", "corrections", "why"),
        numbers=("frame", "corrections"),
        title="what to correct first",
    )
    for one in ranked[:MAX_RANKED]:
        first.add_row(
            str(one.frame),
            line(media.frame(one.frame).name),
            f"{one.corrections:g}",
            line(", ".join(one.reasons)),
        )
    output.show(first)


def show_jobs(jobs: Sequence[QueuedJob], output: Output) -> None:
    """Print unfinished jobs in the order in which they are best corrected."""
    if not jobs:
        output.say("order: all jobs are finished: there is none to hand out")
        return
    numbers = ("", "job", "frames", "corrections", "for each frame")
    queue = light_table(*numbers, "assignee", "state", numbers=numbers, whole=("state",))
    for one in jobs[:MAX_QUEUED]:
        queue.add_row(
            *map(str, (one.place, one.job_id, one.frames)),
            f"{one.corrections:g}",
            f"{one.mean:.2f}",
            line(one.assignee or "-"),
            line(one.state),
        )
    output.show(queue)
    if len(jobs) > MAX_QUEUED:
        output.say(f"{len(jobs) - MAX_QUEUED:,} more: --json, or jobs.csv of --output FOLDER")
