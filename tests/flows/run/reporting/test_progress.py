"""How often progress is shown in Prefect, and what it says."""

from __future__ import annotations

import logging
import threading
from typing import Any
from uuid import uuid4

import pytest

from cvat_flows.flows.run.live import NoProgress
from cvat_flows.flows.run.reporting import progress as progress_module
from cvat_flows.flows.run.reporting.progress import PrefectProgress, format_duration
from tests.support.waiting import HANG_TIMEOUT
from tests.tasks.reports.report_factory import failed, media_of, names_of, report_of


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What Prefect would get: the states of the bar and the lines of the log."""
    seen: dict[str, list[Any]] = {"bar": [], "log": []}
    logger = logging.Logger("run")

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen["log"].append(record.getMessage())

    logger.addHandler(Lines())
    monkeypatch.setattr(progress_module, "run_logger", lambda: logger)
    monkeypatch.setattr(progress_module, "add_progress_bar", lambda text: uuid4())
    monkeypatch.setattr(
        progress_module,
        "update_progress_bar",
        lambda bar, percent, text: seen["bar"].append((percent, text)),
    )
    return seen


def run(clock: Clock, seconds: float, *, step: float, frames: int, total: int) -> None:
    media = media_of(names_of(10))
    report = report_of(media, [failed(media.frame(0))])
    with PrefectProgress(NoProgress(), report) as progress:
        progress.start(total, "annotating task 1")
        while clock.now < seconds:
            clock.now += step
            progress.advance(frames)
        progress.uploading()
        progress.finish()


def test_a_fast_run_writes_few_lines(clock: Clock, shown: dict[str, list[Any]]) -> None:
    run(clock, 60, step=0.25, frames=10, total=2400)
    assert shown["log"][0] == "annotating task 1: 2,400 frames to do"
    assert 5 <= len(shown["log"]) <= 13
    assert "1,200" not in shown["log"][1]
    assert shown["log"][1] == "200 of 2,400 frames, 1 failed, 40.0 frames/s, 55 s left"
    assert len(shown["bar"]) <= 32
    assert shown["bar"][-1] == (100.0, "2,400 of 2,400 frames, 1 failed, ended")
    assert shown["bar"][-2][1].endswith("uploading")


def test_a_long_run_writes_one_line_a_minute(clock: Clock, shown: dict[str, list[Any]]) -> None:
    run(clock, 36_000, step=1.0, frames=1, total=36_000)
    assert 300 < len(shown["log"]) < 800
    assert "h left" in shown["log"][30]


def test_a_run_without_frames_shows_no_bar(clock: Clock, shown: dict[str, list[Any]]) -> None:
    run(clock, 0, step=1, frames=1, total=0)
    assert shown == {"bar": [], "log": []}


def test_a_slow_server_delays_no_frame(
    clock: Clock, shown: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def update_progress_bar(bar: object, percent: float, text: str) -> None:
        assert answers.wait(HANG_TIMEOUT)
        shown["bar"].append((percent, text))

    monkeypatch.setattr(progress_module, "update_progress_bar", update_progress_bar)
    media = media_of(names_of(10))
    with PrefectProgress(NoProgress(), report_of(media, [])) as progress:
        progress.start(100, "annotating task 1")
        assert progress._bar is not None
        progress._bar.result(HANG_TIMEOUT)
        for _ in range(10):
            clock.now += 10
            progress.advance(10)
        progress.finish()
        answers.set()
    # While the first update is pending, only the last one is sent.
    assert [percent for percent, _ in shown["bar"]] == [10.0, 100.0]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (7200, "2.0 h")]
)
def test_durations_are_formatted_for_people(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
