"""The progress and the result of a run, for people and for programs."""

from __future__ import annotations

import time
from typing import Any

from attrs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import facts_table, light_table
from cvat_flows.flows.commands.printing.terminal import line, say
from cvat_flows.flows.in_process import NOT_RECORDED
from cvat_flows.flows.run.live import NoProgress, Progress
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.reports.run_report import RunReport

MAX_FAILURES = 20
"""Failed frames that are printed."""


def progress_for(output: Output) -> Progress:
    """Return a progress bar, or none if the command is quiet."""
    return NoProgress() if output.quiet else TerminalProgress()


class TerminalProgress:
    """A progress bar on the terminal, with frames per second and the time left.

    Each `start` begins a new bar, because a command may detect with two functions.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._begin = time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            console=self._console,
        )
        self._bar: TaskID | None = None

    def phase(self, text: str) -> None:
        self._console.print(line(f"{text} ..."), style="dim")

    def start(self, total: int, description: str) -> None:
        self._begin = time.monotonic()
        if self._bar is not None:  # It stays on the terminal, as it was when it finished.
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(description, total=total, rate="")
        self._bars.start()

    def advance(self, frames: int) -> None:
        assert self._bar is not None
        self._bars.advance(self._bar, frames)
        # The mean, like the rate in the summary.
        speed = self._bars.tasks[0].completed / max(time.monotonic() - self._begin, 1e-6)
        self._bars.update(self._bar, rate=f"{speed:.1f} frames/s")

    def finish(self) -> None:
        self._bars.stop()


def show_run(output: Output, report: RunReport, url: str | None, **more: Any) -> None:
    """Print the result of a run. `more` goes into the line of JSON."""
    output.row({**run_row(report, url), **more})
    if output.is_text:
        show(report, url)


def run_row(report: RunReport, url: str | None) -> dict[str, Any]:
    """Return the result of a run as values for JSON."""
    return {
        "task": report.media.task_id,
        "name": report.media.name,
        "function": report.function,
        "fingerprint": report.fingerprint,
        "dry_run": report.dry_run,
        "result": report.sentence,
        "stopped": report.stopped,
        "frames": {
            "annotated": report.count("annotated"),
            "failed": report.failed_count,
            "skipped": report.count("skipped"),
        },
        "annotations": {
            "created": report.created,
            "already_there": report.kept,
            "deleted": report.deleted,
            "withheld": report.withheld,
            "removed": report.removed,
        },
        "labels": dict(report.shapes_by_label.most_common()),
        "left_out": [asdict(one) for one in report.left_out],
        "failed_frames": [
            {"frame": row.frame, "name": row.name, "step": row.step, "error": row.error}
            for row in report.failed
        ],
        "frames_per_second": round(report.frames_per_second, 2),
        "seconds": round(report.seconds, 2),
        "cvat_url": report.media.task_url,
        "prefect_url": url,
    }


def show(report: RunReport, url: str | None) -> None:
    """Print the result of a run for people."""
    console = Console()
    rows = [
        ("task", f"{report.media.task_id} · {report.media.name}"),
        ("function", f"{report.function} · {(report.fingerprint or 'no fingerprint')[:12]}"),
        ("result", report.sentence),
        (
            "annotations",
            report.annotations + (" (dry run: nothing was written)" if report.dry_run else ""),
        ),
        *(("left out", f"{one.what}: {one.remedy}") for one in report.left_out),
        ("labels", ", ".join(f"{n} {c:,}" for n, c in report.shapes_by_label.most_common()) or "-"),
        ("speed", f"{report.frames_per_second:.1f} frames/s, {report.seconds:.1f} s in all"),
        ("in CVAT", report.media.task_url),
    ]
    if url:
        rows.append(("in Prefect", url))
    console.print(facts_table(rows))
    if report.failed:
        failures = light_table(
            *("frame", "name", "step", "error"),
            numbers=("frame",),
            whole=("step",),
            title="failed frames",
        )
        for row in report.failed[:MAX_FAILURES]:
            failures.add_row(str(row.frame), line(row.name), row.step or "", line(row.error))
        console.print(failures)
        if report.failed_count > MAX_FAILURES:
            say(f"and {report.failed_count - MAX_FAILURES:,} more", error=True)


def say_if_not_recorded(output: Output) -> None:
    """Say where the record of a run would be, if there is none."""
    if not prefect_is_configured():
        output.note(NOT_RECORDED)
