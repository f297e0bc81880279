"""A job is uploaded when its frames are done, or all jobs at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.flows.conftest import both_ways, frames_of
from tests.support.waiting import HANG_TIMEOUT, wait_until

MakeTask = Callable[..., Any]


class Background:
    """A run in another thread, whose function waits at a frame until `go_on`."""

    def __init__(self, annotate: Any, task: Any, folder: Path, frame: str, **options: Any) -> None:
        self._go, self.calls = folder / "go", folder / "calls"
        self.calls.touch()
        self.frame = frame
        self.finished: Any = None
        parameters = {"wait": f"{frame} until {self._go}", "calls": str(self.calls)}

        def run() -> None:
            self.finished = annotate(
                task, function_parameters=parameters, frames_per_run=1, **options
            )

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def wait_at_the_frame(self) -> None:
        wait_until(lambda: self.frame in self.calls.read_text(), what="the function waits")

    def go_on(self) -> Any:
        self._go.touch()
        self._thread.join(HANG_TIMEOUT)
        assert not self._thread.is_alive()
        return self.finished


@both_ways
def test_a_job_is_uploaded_while_later_jobs_are_detected(
    make_task: MakeTask, annotate: Any, tmp_path: Path
) -> None:
    task = make_task(9, segment_size=3)
    run = Background(annotate, task, tmp_path, "img_0006.jpg")
    wait_until(lambda: frames_of(task) == list(range(6)), what="two jobs are uploaded")
    assert "img_0007.jpg" not in run.calls.read_text()
    finished = run.go_on()
    assert finished.error is None
    assert finished.report.created == 9
    assert frames_of(task) == list(range(9))


@pytest.mark.parametrize("options", [{"upload": "at_end"}, {"max_failed_frames": 0}])
def test_nothing_is_uploaded_before_the_last_frame_if_the_run_says_so(
    make_task: MakeTask, annotate: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    task = make_task(4, segment_size=1)
    run = Background(annotate, task, tmp_path, "img_0003.jpg", **options)
    run.wait_at_the_frame()
    time.sleep(1)  # for an upload that must not come
    assert frames_of(task) == []
    assert run.go_on().error is None
    assert frames_of(task) == list(range(4))


def test_a_run_over_its_budget_uploads_no_further_job_and_says_how_to_undo(
    make_task: MakeTask, annotate: Any
) -> None:
    task = make_task(24, segment_size=4)
    failing = ",".join(f"img_{n:04d}.jpg" for n in range(8, 24))
    finished = annotate(
        task, function_parameters={"fail": failing}, max_failed_frames=2, frames_per_run=1
    )
    message = str(finished.error)
    assert message.startswith("2 of 6 jobs uploaded before the run stopped (to delete their")
    assert f"cvat-flows undo {task.id} --run {finished.run_id}" in message
    assert "the limit is 2" in message
    assert frames_of(task) == list(range(8))
    assert finished.report.created == 8


def test_a_run_that_cannot_upload_detects_no_further(
    make_task: MakeTask, annotate: Any, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    task, calls = make_task(30, segment_size=1), tmp_path / "calls"
    refused = {"action": "status", "status": 403, "when": "before", "times": None}
    sandbox.set_faults([{**refused, "method": "PATCH", "path": "/jobs/.*/annotations$"}])
    try:
        # The function waits at a late frame, unless the run ends before.
        run = Background(annotate, task, tmp_path, "img_0009.jpg")
        wait_until(lambda: sandbox.list_faults()[0]["hits"] > 0, what="CVAT refused an upload")
        finished = run.go_on()
    finally:
        sandbox.clear_faults()
    assert "CVAT forbids it" in str(finished.error)
    assert len(calls.read_text().split()) < 30
    assert frames_of(task) == []
    assert annotate(task).error is None
    assert frames_of(task) == list(range(30))
