"""What Prefect shows after a run, over real HTTP."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cvat_sdk import Client, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.form import read_parameters
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.here import run_again_here
from cvat_flows.flows.run.live import LiveInputs
from tests.conftest import draw_images
from tests.support.prefect_records import (
    artifacts_of,
    flow_run_of,
    log_of,
    task_runs_of,
)
from tests.tasks.reports.markdown_reader import read

MakeTask = Callable[..., Any]


@pytest.fixture
def annotate(annotate_in_prefect: Any) -> Any:
    return annotate_in_prefect


def key_of(task: Any, what: str, sandbox: SandboxProcess) -> str:
    host = re.sub(r"\W+", "-", sandbox.url.partition("://")[2].replace(".", "-"))
    return f"cvat-task-{task.id}-{what}-{host}"


def is_failed_frame(run: Any) -> bool:
    return "· img_" in run.name and run.state is not None and run.state.is_failed()


def test_the_run_has_a_readable_name_and_tags(
    make_task: MakeTask, annotate: Any, client: Client, sandbox: SandboxProcess
) -> None:
    project = client.projects.create(
        spec=models.ProjectWriteRequest(
            name="traffic", labels=[models.PatchedLabelRequest(name="car")]
        )
    )
    task = make_task(2, name='street "04"\n', project_id=project.id)
    run = flow_run_of(annotate(task))
    assert run.name == f'annotate {task.id} "street "04"" · one_box'
    assert set(run.tags) == {f"cvat-task:{task.id}", "project:traffic", "function:one_box"}
    assert run.state.message == "2 of 2 frames annotated"


def test_failed_frames_have_pictures_and_links(
    make_task: MakeTask, annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(30, name="<b>street|04</b>")
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 9}])
    try:
        finished = annotate(
            task, function_parameters={"fail": "img_0003.jpg", "bad": "img_0006.jpg"}
        )
    finally:
        sandbox.clear_faults()
    assert flow_run_of(finished).state.message == (
        "27 of 30 frames annotated, 3 failed (1 unreadable, 1 function error, 1 invalid output): "
        "frame 3 img_0003.jpg, frame 6 img_0006.jpg, frame 9 img_0009.jpg"
    )
    (artifact,) = artifacts_of(finished, key=key_of(task, "failed-frames", sandbox))
    page = read(artifact.data)
    rows = page.tables[-1][1:]
    assert [row[1:3] for row in rows] == [
        ["3", "img_0003.jpg"],
        ["6", "img_0006.jpg"],
        ["9", "img_0009.jpg"],
    ]
    assert [row[4] for row in rows] == ["detect", "validate", "fetch"]
    # The image of frame 9 cannot be read, so there is no picture of it.
    assert len(page.images) == 2
    job = task.get_jobs()[0].id
    assert [link for link in page.links if "/tasks/" in link] == [
        f"{sandbox.url}/tasks/{task.id}/jobs/{job}?frame={number}" for number in (3, 6, 9)
    ]
    runs = task_runs_of(finished, lambda runs: sum(map(is_failed_frame, runs)) == 3)
    failed = {run.name: run for run in runs if is_failed_frame(run)}
    assert set(failed) == {
        "detect frame 3 · img_0003.jpg",
        "validate frame 6 · img_0006.jpg",
        "fetch frame 9 · img_0009.jpg",
    }
    assert [link for link in page.links if "task-run" in link] == [
        f"../../runs/task-run/{failed[name].id}"
        for name in (
            "detect frame 3 · img_0003.jpg",
            "validate frame 6 · img_0006.jpg",
            "fetch frame 9 · img_0009.jpg",
        )
    ]
    detected = failed["detect frame 3 · img_0003.jpg"]
    assert detected.state.message == (
        "the function failed on frame 3 · img_0003.jpg: ValueError: cannot process img_0003.jpg"
    )
    assert detected.run_count == 3
    (own,) = artifacts_of(finished, task_run_id=detected.id)
    page = read(own.data)
    assert len(page.images) == 1
    assert "Traceback" in page.code[1]
    assert page.code[0].startswith(f"cvat-flows preview {task.id} --function ")
    assert "--frames 3" in page.code[0]
    assert "fail=str:img_0003.jpg" in page.code[0]


def test_frames_that_cvat_rejects_are_shown(
    make_task: MakeTask, annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(2)
    refuse = {
        "action": "status",
        "status": 400,
        "method": "PATCH",
        "path": "/annotations$",
        "times": None,
    }
    sandbox.set_faults([refuse])
    try:
        finished = annotate(task, max_failed_frames=2)
    finally:
        sandbox.clear_faults()
    message = flow_run_of(finished).state.message
    assert "0 of 2 frames annotated, 2 failed (2 rejected by CVAT)" in message
    (artifact,) = artifacts_of(finished, key=key_of(task, "failed-frames", sandbox))
    page = read(artifact.data)
    assert [row[4] for row in page.tables[0][1:]] == ["upload", "upload"]
    assert len(page.images) == 2
    runs = task_runs_of(finished, lambda runs: sum(map(is_failed_frame, runs)) == 2)
    assert {run.name for run in runs if is_failed_frame(run)} == {
        "upload frame 0 · img_0000.jpg",
        "upload frame 1 · img_0001.jpg",
    }


def test_a_run_without_failures_replaces_the_table_of_failed_frames(
    make_task: MakeTask, annotate: Any, function_file: Path, sandbox: SandboxProcess
) -> None:
    task = make_task(12)
    key = key_of(task, "failed-frames", sandbox)
    first = annotate(task, function_parameters={"fail": "img_0004.jpg"})
    assert len(artifacts_of(first, key=key)) == 1
    second = annotate(task)
    (artifact,) = artifacts_of(second, key=key)
    assert "No frame failed." in artifact.data
    assert artifact.description == "no frame failed"
    assert artifacts_of(annotate(task), key=key) == []


def test_the_report_and_the_table_of_a_run(
    make_task: MakeTask, annotate: Any, storage_folder: Path, sandbox: SandboxProcess
) -> None:
    task = make_task(5)
    finished = annotate(task, conf_threshold=0.25)
    (artifact,) = artifacts_of(finished, key=key_of(task, "report", sandbox))
    page = read(artifact.data)
    facts = {row[0]: row[1] for row in page.tables[0] if row[0]}
    assert facts["annotations"] == "5 created, 0 already there, 0 deleted"
    assert len(page.images) == 4
    assert f"cvat-flows annotate {task.id}" in page.code[0]
    assert "--conf-threshold 0.25" in page.code[0]
    paths = dict.fromkeys(re.findall(r"`(results/[^`]+)`", artifact.data))
    (parquet,) = [path for path in paths if path.endswith(".parquet")]
    (csv,) = [path for path in paths if path.endswith(".csv")]
    table = pd.read_parquet(io.BytesIO((storage_folder / parquet).read_bytes()))
    assert list(table["outcome"]) == ["annotated"] * 5
    assert list(table["created"]) == [1] * 5
    assert set(table["job"]) == {task.get_jobs()[0].id}
    assert len(pd.read_csv(storage_folder / csv)) == 5


def test_a_run_over_cached_frames_has_a_contact_sheet(
    make_task: MakeTask, annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(3)
    annotate(task, dry_run=True)
    finished = annotate(task)
    assert finished.report.cached == 3
    (artifact,) = artifacts_of(finished, key=key_of(task, "report", sandbox))
    assert any(image.startswith("data:image/jpeg") for image in read(artifact.data).images)


def test_a_dry_run_writes_a_preview(
    make_task: MakeTask, annotate: Any, storage_folder: Path, sandbox: SandboxProcess
) -> None:
    task = make_task(4)
    finished = annotate(task, dry_run=True)
    (artifact,) = artifacts_of(finished, key=key_of(task, "preview", sandbox))
    page = read(artifact.data)
    assert page.tables[1][1:] == [[str(n), f"img_000{n}.jpg", "1", "1", "0", "0"] for n in range(4)]
    assert page.tables[2][1] == ["label", "car", "any", "car", "any", "matched"]
    (html,) = storage_folder.rglob("preview.html")
    assert html.read_text().count('"picture":') == 4


def test_the_log_has_only_lines_for_people(make_task: MakeTask, annotate: Any) -> None:
    task = make_task(40)
    finished = annotate(task, frames_per_run=4, function_parameters={"fail": "img_0001.jpg"})
    lines = [line.message for line in log_of(finished, "Finished in state Failed('39")]
    assert not any("Completed" in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    assert sum("cannot process img_0001.jpg" in line for line in lines) == 1
    assert any(line == f"annotating task {task.id}: 40 frames to do" for line in lines)
    assert "loading one_box ..." in lines
    # A slow run also logs its progress.
    assert len([line for line in lines if "frames/s" not in line]) < 12


def test_progress_is_shown(make_task: MakeTask, annotate: Any) -> None:
    finished = annotate(make_task(3))
    (bar,) = artifacts_of(finished, type="progress")
    assert float(bar.data) == 100.0
    assert bar.description == "3 of 3 frames, ended"


def test_running_a_run_again_annotates_only_failed_frames(
    make_task: MakeTask, annotate: Any, client: Client, sandbox: SandboxProcess
) -> None:
    task = make_task(20)
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 7}])
    try:
        first = annotate(task)
    finally:
        sandbox.clear_faults()
    run = flow_run_of(first)
    parameters = read_parameters(AnnotateTaskParameters, run.parameters)
    again = run_again_here(run, parameters, LiveInputs(client=client))
    assert again.error is None
    mended = flow_run_of(again)
    assert mended.id == run.id
    assert mended.run_count == 2
    assert mended.state.message == "1 of 1 frame annotated, 19 skipped (19 done before)"
    assert mended.name == run.name
    assert len(task.get_annotations().shapes) == 20


def test_a_second_run_has_the_same_limit_of_failed_frames(
    make_task: MakeTask, annotate: Any
) -> None:
    task = make_task(20)
    failing = {"fail": "img_0003.jpg,img_0004.jpg"}
    annotate(task, function_parameters=failing)
    again = annotate(task, function_parameters=failing)
    assert flow_run_of(again).state.message.startswith(
        "0 of 2 frames annotated, 18 skipped (18 done before), 2"
    )


def test_a_report_that_cannot_be_written_is_only_a_warning(
    make_task: MakeTask, annotate: Any, monkeypatch: pytest.MonkeyPatch, storage_folder: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("database is locked")

    for name in ("create_markdown_artifact", "create_progress_artifact"):
        monkeypatch.setattr(f"prefect.artifacts.{name}", refuse)
    storage_folder.mkdir()
    (storage_folder / "results").write_text("a file where the folder should be")
    task = make_task(12)
    finished = annotate(task, function_parameters={"fail": "img_0002.jpg"})
    assert flow_run_of(finished).state.message.startswith("11 of 12 frames annotated, 1 failed")
    assert len(task.get_annotations().shapes) == 11
    lines = [line.message for line in log_of(finished, "Finished in state Failed")]
    assert any("a report could not be stored in Prefect: database is locked" in x for x in lines)


def test_big_images_make_small_pictures(
    make_task: MakeTask, annotate: Any, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    images = draw_images(tmp_path / "big", 2, size=(4000, 3000))
    finished = annotate(
        make_task(images=images), max_failed_frames=1, function_parameters={"fail": "img_0001.jpg"}
    )
    for artifact in artifacts_of(finished):
        assert len(str(artifact.data)) < 60_000


FICKLE = '''
"""Returns a shape with an unknown label while a file `bad` exists."""
from pathlib import Path
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create():
    def detect(context, image):
        bad = Path(__file__).with_name("bad").exists()
        return [rectangle(7 if bad else 0, [1, 1, image.width - 1, image.height - 1])]

    return SimpleNamespace(spec=DetectionFunctionSpec(labels=[label_spec("car", 0)]), detect=detect)
'''


def test_invalid_cached_detections_are_detected_again(
    make_task: MakeTask, annotate: Any, tmp_path: Path
) -> None:
    function = tmp_path / "fickle.py"
    function.write_text(FICKLE)
    (tmp_path / "bad").touch()
    task = make_task(2)
    first = annotate(task, function=str(function), max_failed_frames=2)
    assert "2 failed (2 invalid outputs)" in str(first.error)
    (tmp_path / "bad").unlink()
    second = annotate(task, function=str(function), max_failed_frames=2)
    assert second.report.sentence == "2 of 2 frames annotated"


def test_a_caller_with_an_event_loop_gets_its_report(make_task: MakeTask, annotate: Any) -> None:
    task = make_task(2)

    async def as_in_a_notebook() -> Any:
        return annotate(task)

    finished = asyncio.run(as_in_a_notebook())
    assert finished.report.sentence == "2 of 2 frames annotated"
    assert len(artifacts_of(finished)) == 2


def test_a_run_that_cvat_refuses_still_has_a_report(
    make_task: MakeTask, annotate: Any, sandbox: SandboxProcess
) -> None:
    task = make_task(12)
    forbid = {"action": "status", "status": 403, "method": "PATCH", "times": None}
    sandbox.set_faults([forbid])
    try:
        finished = annotate(task, function_parameters={"fail": "img_0003.jpg"})
    finally:
        sandbox.clear_faults()
    assert finished.report is None
    assert flow_run_of(finished).state.is_failed()
    (artifact,) = artifacts_of(finished, key=key_of(task, "failed-frames", sandbox))
    page = read(artifact.data)
    assert page.tables[0][1][1:3] == ["3", "img_0003.jpg"]
    (report,) = artifacts_of(finished, key=key_of(task, "report", sandbox))
    assert "0 created" in report.data
    assert " ".join(flow_run_of(finished).state.message.split()) in read(report.data).text
