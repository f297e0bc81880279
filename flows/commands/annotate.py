"""`cvat-flows annotate`: annotate a CVAT task: upload the good frames, list the failed ones."""

from __future__ import annotations

import argparse
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.exit_status import DONE, FAILED
from cvat_flows.flows.commands.model_options import build
from cvat_flows.flows.commands.server_options import use_server_arguments
from cvat_flows.flows.commands.task_arguments import add_task_arguments, task_values
from cvat_flows.flows.commands.terminal import line, say
from cvat_flows.flows.in_process import NOT_RECORDED, run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.reports.run_report import RunReport

MAX_FAILURES = 20
"""Failed frames that are printed."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(AnnotateTaskParameters, task_values(arguments))
    use_server_arguments(arguments)
    require_prefect()
    finished = run_here(parameters, LiveInputs(progress=TerminalProgress()))
    show(finished.report_or_raise(), finished.url)
    say_if_not_recorded()
    return FAILED if finished.error else DONE


def say_if_not_recorded() -> None:
    """Say where the record of a run would be, if there is none."""
    if not prefect_is_configured():
        say(NOT_RECORDED, error=True)


class TerminalProgress:
    """A progress bar on the terminal, with frames per second and the time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._begin = time.monotonic()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._bar = self._bars.add_task("", total=None, start=False, rate="")

    def phase(self, text: str) -> None:
        self._console.print(line(f"{text} ..."), style="dim")

    def start(self, total: int, description: str) -> None:
        self._begin = time.monotonic()
        self._bars.start()
        self._bars.start_task(self._bar)
        self._bars.update(self._bar, total=total, description=description)

    def advance(self, frames: int) -> None:
        self._bars.advance(self._bar, frames)
        # The mean, like the rate in the summary.
        speed = self._bars.tasks[0].completed / max(time.monotonic() - self._begin, 1e-6)
        self._bars.update(self._bar, rate=f"{speed:.1f} frames/s")

    def finish(self) -> None:
        self._bars.stop()


def show(report: RunReport, url: str | None) -> None:
    """Print the result of a run."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
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
    for name, text in rows:
        table.add_row(name, line(text))
    console.print(table)
    if report.failed:
        failures = Table("frame", "name", "step", "error", title="failed frames")
        for row in report.failed[:MAX_FAILURES]:
            failures.add_row(str(row.frame), line(row.name), row.step or "", line(row.error))
        console.print(failures)
        if report.failed_count > MAX_FAILURES:
            say(f"and {report.failed_count - MAX_FAILURES:,} more", error=True)


COMMAND = Command(
    name="annotate",
    configure=configure,
    run=run,
)
