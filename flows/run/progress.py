"""Progress of a run for those who look at it in Prefect: a bar, and a line in the log at times."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Any
from uuid import UUID

from prefect.logging import get_run_logger

from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.reports.artifacts import add_progress_bar, update_progress_bar
from cvat_flows.tasks.reports.run_report import RunReport

BAR_EVERY = 2.0
"""Seconds between two updates of the bar: each is a request to the Prefect server."""
LINE_AFTER = 5.0
"""Seconds until the first line in the log; the longer a run takes, the further apart they are."""
LINE_EVERY_AT_MOST = 60.0


class ShownProgress:
    """Passes progress on to the caller's own, and shows it in Prefect.

    A thread of its own asks Prefect: a server that is slow holds up no frame. A context manager,
    which waits at its end for what is under way.
    """

    def __init__(
        self, inner: Progress, report: RunReport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._report = report
        self._clock = clock
        self._begin = self._next_bar = self._next_line = 0.0
        self._total = self._done = 0
        self._bar: Future[UUID | None] | None = None
        self._under_way: Future[Any] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="progress")

    def __enter__(self) -> ShownProgress:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()

    def start(self, total: int, description: str) -> None:
        self._inner.start(total, description)
        self._total = total
        self._begin = self._clock()
        self._next_bar = self._begin + BAR_EVERY
        self._next_line = self._begin + LINE_AFTER
        if total:
            self._bar = self._aside(add_progress_bar, f"{total:,} frames to do")
            get_run_logger().info("%s: %s frames to do", description, f"{total:,}")

    def advance(self, frames: int) -> None:
        self._inner.advance(frames)
        self._done += frames
        now = self._clock()
        if now >= self._next_bar and (self._under_way is None or self._under_way.done()):
            self._show(self._text(now))
            self._next_bar = now + BAR_EVERY
        if now >= self._next_line:
            get_run_logger().info("%s", self._text(now))
            self._next_line = now + min(
                LINE_EVERY_AT_MOST, max(LINE_AFTER, (now - self._begin) / 8)
            )

    def uploading(self) -> None:
        """All frames have been looked at; what was found is on its way to CVAT."""
        self._show(f"{self._counts()}, uploading")

    def finish(self) -> None:
        self._inner.finish()
        self._show(f"{self._counts()}, ended")

    def _show(self, text: str) -> None:
        bar, percent = self._bar, self._percent()
        if bar is not None:
            self._aside(lambda: update_progress_bar(bar.result(), percent, text))

    def _aside(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call in the thread, which has to know the flow run."""
        self._under_way = self._thread.submit(copy_context().run, call, *arguments)
        return self._under_way

    def _percent(self) -> float:
        return min(100.0, round(100 * self._done / self._total, 1)) if self._total else 100.0

    def _counts(self) -> str:
        failed = self._report.failed_count
        text = f"{self._done:,} of {self._total:,} frames"
        return f"{text}, {failed:,} failed" if failed else text

    def _text(self, now: float) -> str:
        seconds = max(now - self._begin, 1e-6)
        speed = self._done / seconds
        text = f"{self._counts()}, {speed:.1f} frames/s"
        if speed and self._done < self._total:
            text += f", {in_words((self._total - self._done) / speed)} left"
        return text


def in_words(seconds: float) -> str:
    """A time as a person says it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
