"""The flow over real HTTP: good frames are uploaded, bad frames are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from prefect.client.orchestration import get_client

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.prefect_flows import annotate_task_flow
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.tasks.detect.pruning import Limits, prune_to
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.record.lease_file import LeaseEntry, current_writer
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.steps import detect
from cvat_flows.tasks.storage import open_storage
from tests.flows.conftest import both_ways, frames_of
from tests.support.identity import identity_of
from tests.support.prefect_records import task_runs_of


def task_run(finished: Any, name: str) -> Any:
    """Return the flow run's task run of this name when it has ended."""

    def ended(runs: list[Any]) -> list[Any]:
        return [run for run in runs if run.name == name and run.state and run.state.is_final()]

    return ended(task_runs_of(finished, lambda runs: bool(ended(runs))))[0]


@both_ways
def test_every_frame_is_annotated(make_task: Callable[..., Any], annotate: Any) -> None:
    task = make_task(7, segment_size=3)
    finished = annotate(task)
    assert finished.error is None
    assert finished.report.sentence == "7 of 7 frames annotated"
    stored = task.get_annotations().shapes
    assert frames_of(task) == list(range(7))
    assert {str(shape.source) for shape in stored} == {"auto"}
    assert {tuple(shape.points) for shape in stored} == {(1.0, 1.0, 63.0, 47.0)}
    assert finished.report.created == 7
    assert finished.report.shapes_by_label == {"car": 7}


@both_ways
def test_a_second_run_adds_nothing_and_fetches_nothing(
    make_task: Callable[..., Any], annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(4)
    annotate(task)
    sandbox.reset_request_counts()
    finished = annotate(task)
    assert finished.error is None
    assert finished.report.count("skipped") == 4
    assert frames_of(task) == [0, 1, 2, 3]
    assert not [address for address in sandbox.request_counts() if "/data?" in address]


def test_machines_share_storage_in_s3(
    make_task: Callable[..., Any],
    annotate: Any,
    s3: str,
    tmp_path: Path,
    function_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_STORAGE", f"{s3}/{tmp_path.name}")
    calls = tmp_path / "calls"
    function_file.write_text(function_file.read_text().replace('calls=""', f"calls={str(calls)!r}"))
    assert annotate(make_task(5)).error is None
    task = make_task(5, segment_size=2)
    assert annotate(task).report.sentence == "5 of 5 frames annotated"
    assert len(calls.read_text().split()) == 5  # The same images: from the shared cache.
    assert annotate(task).report.count("skipped") == 5
    assert frames_of(task) == list(range(5))
    folders = {stored.path.partition("/")[0] for stored in open_storage().list("")}
    assert {"manifest", "detections", "leases", "results"} <= folders


def test_runs_prune_the_cache(
    make_task: Callable[..., Any], annotate: Any, storage_folder: Path
) -> None:
    prune_to(open_storage(), Limits(max_age=timedelta(days=1), max_bytes=0))
    task = make_task(2)
    annotate(task)
    assert list((storage_folder / "detections").rglob("*.json"))
    (storage_folder / "cache-pruned.json").write_text('{"bytes": 0}')
    annotate(task, dry_run=True)
    assert not list((storage_folder / "detections").rglob("*.json"))
    assert annotate(task).report.count("skipped") == 2


def test_the_lease_is_held_until_the_report_is_written(
    make_task: Callable[..., Any],
    annotate: Any,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(1)

    def writer(*_: object) -> LeaseEntry | None:
        return current_writer(open_storage(), identity_of(task))

    seen: list[LeaseEntry | None] = []
    monkeypatch.setattr(
        "cvat_flows.flows.run.reporting.report.publish", lambda *_: seen.append(writer())
    )
    monkeypatch.setattr("cvat_flows.flows.annotate.prune_if_due", lambda _: seen.append(writer()))
    assert annotate(task).error is None
    assert [one is not None for one in seen] == [True, True]
    assert writer() is None


def test_a_failed_frame_costs_only_itself(make_task: Callable[..., Any], in_prefect: Any) -> None:
    task = make_task(12)
    task.update_annotations(
        models.PatchedLabeledDataRequest(
            tags=[models.LabeledImageRequest(frame=5, label_id=task.get_labels()[0].id)]
        )
    )
    finished = in_prefect(task, function_parameters={"fail": "img_0005.jpg"})
    assert finished.error is not None
    assert str(finished.error) == (
        "11 of 12 frames annotated, 1 failed (1 function error): frame 5 img_0005.jpg"
    )
    assert frames_of(task) == [n for n in range(12) if n != 5]
    assert len(task.get_annotations().tags) == 1
    run = task_run(finished, "detect frame 5 · img_0005.jpg")
    assert run.state.is_failed()
    assert "cannot process img_0005.jpg" in run.state.message


@pytest.fixture
def in_prefect(annotate_in_prefect: Any) -> Any:
    return annotate_in_prefect


@contextmanager
def limit_of_the_tag(limited: bool) -> Iterator[None]:
    if not limited:
        yield
        return
    with get_client(sync_client=True) as prefect:
        prefect.upsert_global_concurrency_limit_by_name("tag:gpu", 1)
        try:
            yield
        finally:
            prefect.delete_global_concurrency_limit_by_name("tag:gpu")


@pytest.mark.parametrize("limited", [False, True])
def test_detect_runs_have_the_tag_and_wait_for_a_slot_if_it_has_a_limit(
    make_task: Callable[..., Any], in_prefect: Any, limited: bool
) -> None:
    task = make_task(2)
    with limit_of_the_tag(limited):
        assert RecordedEngine().has_limit(detect.definition) == limited
        run = task_run(in_prefect(task), f"detect frames 0-1 · job {task.get_jobs()[0].id}")
    assert run.tags == ["gpu"]


@pytest.mark.parametrize("limited", [False, True])
def test_the_next_detect_run_starts_early_unless_it_would_hold_a_slot(
    make_task: Callable[..., Any],
    in_prefect: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limited: bool,
) -> None:
    begun, seen = tmp_path / "begun", list[str]()
    plain_detect = AnnotationRun.detect

    def watched(run: AnnotationRun, work: BatchWork) -> None:
        seen.append(f"{work.batch.index} begins")
        if work.batch.index == 1:
            begun.touch()
        plain_detect(run, work)
        seen.append(f"{work.batch.index} ends")

    monkeypatch.setattr(AnnotationRun, "detect", watched)
    if limited:
        begun.touch()
    task = make_task(2)
    with limit_of_the_tag(limited):
        waits = {"wait": f"img_0000.jpg until {begun}"}
        assert in_prefect(task, frames_per_run=1, function_parameters=waits).error is None
    assert frames_of(task) == [0, 1]
    overlapping = ["0 begins", "1 begins", "0 ends", "1 ends"]
    assert seen == (sorted(overlapping) if limited else overlapping)


def test_a_frame_that_hangs_costs_only_itself(
    make_task: Callable[..., Any], in_prefect: Any, tmp_path: Path
) -> None:
    task, calls = make_task(11), tmp_path / "calls"
    hanging = {"hang": "img_0003.jpg", "calls": str(calls)}
    finished = in_prefect(task, function_parameters=hanging, detect_timeout=2)
    assert str(finished.error) == (
        "10 of 11 frames annotated, 1 failed (1 function error): frame 3 img_0003.jpg"
    )
    assert frames_of(task) == [n for n in range(11) if n != 3]
    assert calls.read_text().splitlines().count("img_0003.jpg") == 1
    run = task_run(finished, "detect frame 3 · img_0003.jpg")
    assert run.state.is_failed()
    assert "no answer within 2 s (--detect-timeout)" in run.state.message


@both_ways
def test_a_function_that_hangs_ends_the_run(
    make_task: Callable[..., Any], annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(8)
    all_hang = {"hang": ",".join(f"img_{n:04d}.jpg" for n in range(1, 8))}
    finished = annotate(
        task, function_parameters=all_hang, detect_timeout=0.2, max_failed_frames=0.9
    )
    detections = [s for s in open_storage().list("detections") if "about" not in s.path]
    assert len(detections) == 1  # Of the first frame.
    assert "5 calls of the function in a row took longer than 0.2 s" in str(finished.error)
    assert "frame 5 · img_0005.jpg" in str(finished.error)
    assert frames_of(task) == []
    assert current_writer(open_storage(), identity_of(task)) is None
    assert annotate(task, function_parameters={}).report.count("annotated") == 8


def test_a_batch_behind_a_hanging_function_is_cancelled(
    make_task: Callable[..., Any], in_prefect: Any, tmp_path: Path
) -> None:
    task, calls = make_task(9), tmp_path / "calls"
    all_hang = {"hang": ",".join(f"img_{n:04d}.jpg" for n in range(9)), "calls": str(calls)}
    finished = in_prefect(
        task,
        frames_per_run=3,
        function_parameters=all_hang,
        detect_timeout=0.2,
        max_failed_frames=0.9,
    )
    assert "5 calls of the function in a row" in str(finished.error)
    assert len(calls.read_text().split()) == 5
    run = task_run(finished, f"detect frames 6-8 · job {task.get_jobs()[0].id}")
    assert run.state.is_cancelled()
    assert "before it was this batch's turn" in run.state.message


@both_ways
def test_a_bad_output_fails_its_frame(make_task: Callable[..., Any], annotate: Any) -> None:
    task = make_task(11)
    finished = annotate(task, function_parameters={"bad": "img_0003.jpg"})
    assert finished.report.failed[0].step == "validate"
    assert "unknown label ID (7)" in finished.report.failed[0].error
    assert frames_of(task) == [n for n in range(11) if n != 3]


@both_ways
def test_an_unreadable_image_fails_its_frame(
    make_task: Callable[..., Any], annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(10)
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 4}])
    try:
        finished = annotate(task)
    finally:
        sandbox.clear_faults()
    assert [(row.frame, row.step) for row in finished.report.failed] == [(4, "fetch")]
    assert frames_of(task) == [n for n in range(10) if n != 4]
    # The image is readable again: the next run annotates what is missing.
    again = annotate(task)
    assert again.error is None
    assert again.report.count("annotated") == 1
    assert frames_of(task) == list(range(10))


def test_a_flow_with_retries_runs_the_failed_frames_again(
    make_task: Callable[..., Any],
    client: Client,
    sandbox: SandboxProcess,
    function_file: Path,
    storage_folder: Path,
    prefect_server: None,
) -> None:
    task = make_task(12)
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 4}])
    attempts: list[str] = []

    def repair_before_the_second_attempt(flow: Any, run: Any, state: Any) -> None:
        attempts.append(state.name)
        if len(attempts) == 2:
            sandbox.clear_faults()

    flow = annotate_task_flow.with_options(retries=1, on_running=[repair_before_the_second_attempt])
    try:
        with use_live_inputs(LiveInputs(client=client)):
            state: Any = flow(task_id=task.id, function=str(function_file), return_state=True)
    finally:
        sandbox.clear_faults()
    assert len(attempts) == 2
    assert state.message == "1 of 1 frame annotated, 11 skipped (11 done before)"
    assert state.is_completed()


@pytest.mark.parametrize(("frames", "bad", "uploaded"), [(6, 1, True), (12, 11, False)])
def test_a_run_stops_if_more_than_a_tenth_and_more_than_ten_frames_fail(
    make_task: Callable[..., Any], annotate: Any, frames: int, bad: int, uploaded: bool
) -> None:
    task = make_task(frames)
    fail = ",".join(f"img_{n:04d}.jpg" for n in range(bad))
    finished = annotate(task, function_parameters={"fail": fail})
    assert finished.error is not None
    assert frames_of(task) == (list(range(bad, frames)) if uploaded else [])


@both_ways
def test_a_stopped_run_says_what_it_did_not_look_at(
    make_task: Callable[..., Any], annotate: Any
) -> None:
    task = make_task(10)
    finished = annotate(
        task,
        max_failed_frames=1,
        frames_per_run=4,
        function_parameters={"fail": "img_0001.jpg,img_0002.jpg"},
    )
    assert str(finished.error).startswith(
        "Nothing uploaded: 2 of 4 frames failed, the limit is 1, so something may be wrong with "
        "the whole run. If not, raise --max-failed-frames. 6 frames were not looked at. The first "
        "failed frame is 1 img_0001.jpg: "
    )
    assert frames_of(task) == []


@both_ways
def test_the_first_failed_frame_stops_a_strict_run(
    make_task: Callable[..., Any], annotate: Any
) -> None:
    task = make_task(3)
    finished = annotate(task, max_failed_frames=0, function_parameters={"fail": "img_0002.jpg"})
    assert finished.error is not None
    assert frames_of(task) == []


@both_ways
def test_frames_and_jobs_select_frames(make_task: Callable[..., Any], annotate: Any) -> None:
    task = make_task(9, segment_size=3)
    second = sorted(task.get_jobs(), key=lambda job: job.start_frame)[1]
    finished = annotate(task, jobs=[second.id], frames="4-")
    assert finished.report.sentence == "2 of 2 frames annotated"
    assert frames_of(task) == [4, 5]


@both_ways
def test_a_dry_run_writes_nothing(make_task: Callable[..., Any], annotate: Any) -> None:
    task = make_task(3)
    finished = annotate(task, dry_run=True)
    assert finished.error is None
    assert finished.report.sentence == "3 of 3 frames would be annotated"
    assert finished.report.created == 3
    assert frames_of(task) == []


@both_ways
def test_batches_do_not_change_the_result(
    make_task: Callable[..., Any], annotate: Any, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    task = make_task(8)
    annotate(task, frames_per_run=3, function_parameters={"calls": str(calls)})
    assert frames_of(task) == list(range(8))
    # The function gets the frames in order, one after the other.
    assert calls.read_text().split() == [f"img_{n:04d}.jpg" for n in range(8)]
