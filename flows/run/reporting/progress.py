"""Show a run's progress in Prefect: a progress artifact, and now and then a log line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from types import TracebackType
from typing import Any
from uuid import UUID

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.engine.current import run_logger
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.artifacts import add_progress_bar, update_progress_bar
from cvat_flows.tasks.reports.run_report import RunReport

BAR_INTERVAL = 2.0
"""Seconds between two updates of the bar. Each is a request to the Prefect server."""
MIN_LINE_INTERVAL = 5.0
"""Seconds until the first log line. The interval grows with the duration of the run."""
MAX_LINE_INTERVAL = 60.0


@contextmanager
def showing_progress(
    context: RunContext, plan: Plan, report: RunReport
) -> Iterator[PrefectProgress]:
    """Show the progress of the plan's frames, to the caller and in Prefect."""
    with PrefectProgress(context.live.progress, report) as progress:
        progress.start(plan.frame_count, f"annotating task {context.media.task_id}")
        try:
            yield progress
        finally:
            progress.finish()


class PrefectProgress:
    """Forwards progress to the caller's progress object and shows it in Prefect.

    Requests to Prefect run in a separate thread, so a slow server delays no frame. On exit, the
    context manager waits for pending requests.
    """

    def __init__(self, inner: Progress, report: RunReport) -> None:
        self._inner = inner
        self._report = report
        self._begin = self._next_bar = self._next_line = 0.0
        self._total = self._done = 0
        self._bar: Future[UUID | None] | None = None
        self._pending: Future[Any] | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")

    def __enter__(self) -> PrefectProgress:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()

    def phase(self, text: str) -> None:
        """Say what the run does before the first frame."""
        self._inner.phase(text)

    def start(self, total: int, description: str) -> None:
        self._inner.start(total, description)
        self._total = total
        self._begin = time.monotonic()
        self._next_bar = self._begin + BAR_INTERVAL
        self._next_line = self._begin + MIN_LINE_INTERVAL
        if total:
            frames = f"{counted(total, 'frame')} to do"
            self._bar = self._in_thread(add_progress_bar, frames)
            run_logger().info("%s: %s", description, frames)

    def advance(self, frames: int) -> None:
        """Count frames. Several threads call this."""
        with self._lock:
            self._advance(frames)

    def _advance(self, frames: int) -> None:
        self._inner.advance(frames)
        self._done += frames
        now = time.monotonic()
        if now >= self._next_bar and (self._pending is None or self._pending.done()):
            self._show(self._text(now))
            self._next_bar = now + BAR_INTERVAL
        if now >= self._next_line:
            run_logger().info("%s", self._text(now))
            self._next_line = now + min(
                MAX_LINE_INTERVAL, max(MIN_LINE_INTERVAL, (now - self._begin) / 8)
            )

    def uploading(self) -> None:
        """Show that all frames are processed and the upload has started."""
        self._show(f"{self._counts()}, uploading")

    def finish(self) -> None:
        self._inner.finish()
        self._show(f"{self._counts()}, ended")

    def _show(self, text: str) -> None:
        bar, percent = self._bar, self._percent()
        if bar is not None:
            self._in_thread(lambda: update_progress_bar(bar.result(), percent, text))

    def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call in the thread, with this thread's flow run as context."""
        self._pending = self._thread.submit(copy_context().run, call, *arguments)
        return self._pending

    def _percent(self) -> float:
        return min(100.0, round(100 * self._done / self._total, 1)) if self._total else 100.0

    def _counts(self) -> str:
        failed = self._report.failed_count
        text = f"{self._done:,} of {counted(self._total, 'frame')}"
        return f"{text}, {failed:,} failed" if failed else text

    def _text(self, now: float) -> str:
        seconds = max(now - self._begin, 1e-6)
        speed = self._done / seconds
        text = f"{self._counts()}, {speed:.1f} frames/s"
        if speed and self._done < self._total:
            text += f", {format_duration((self._total - self._done) / speed)} left"
        return text


def format_duration(seconds: float) -> str:
    """Format a duration: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
