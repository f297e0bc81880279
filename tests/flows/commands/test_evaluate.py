"""`cvat-flows evaluate`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

Cli = Callable[..., tuple[int, str, str]]


def draw_cars(task: Any, frames: Iterable[int]) -> None:
    """Draw the car that the function detects on some frames, and finish the job."""
    (job,) = task.get_jobs()
    (label,) = task.get_labels()
    shapes = [
        models.LabeledShapeRequest(
            type="rectangle", frame=frame, label_id=label.id, points=[1.0, 1.0, 63.0, 47.0]
        )
        for frame in frames
    ]
    data = models.PatchedLabeledDataRequest(shapes=shapes)
    job.update_annotations(data, action=AnnotationUpdateAction.CREATE)
    job.update(models.PatchedJobWriteRequest(state="completed"))


@pytest.fixture
def checked(make_task: Callable[..., Any]) -> Any:
    """A task with two frames of 64 x 48 pixels, on which a person has drawn the car."""
    task = make_task(2)
    draw_cars(task, [0])
    return task


def test_it_prints_the_figures_and_writes_files(cli: Cli, checked: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    status, out, _ = cli("evaluate", checked.id, "--output", folder)
    assert status == 0
    assert "precision 0.500, recall 1.000, F1 0.667, AP50 1.000 on 2 frames" in out
    assert str(folder / "evaluation.md") in out
    content = json.loads((folder / "evaluation.json").read_text())
    assert content["overall"]["precision"] == 0.5
    assert content["truth"] == "1 finished job out of 1"
    (row,) = csv.DictReader((folder / "labels.csv").read_text().splitlines())
    assert (row["label"], row["right"], row["extra"], row["recall"]) == ("car", "1", "1", "1")
    page = (folder / "evaluation.md").read_text()
    assert f"tasks/{checked.id}" in page
    assert "| car | 1 | 2 | 0.500 | 1.000 | 0.667 | 1.000 | 1.000 |" in page


def test_intervals_are_in_a_table_of_their_own(
    cli: Cli, make_task: Callable[..., Any], tmp_path: Path
) -> None:
    task = make_task(12)
    draw_cars(task, range(0, 12, 2))
    status, out, _ = cli("evaluate", task.id, "--output", tmp_path)
    assert status == 0
    assert "0.500 (0." in out
    page = (tmp_path / "evaluation.md").read_text()
    assert "| car | 6 | 12 | 0.500 | 1.000 |" in page
    (row,) = [
        line for line in page.splitlines() if line.startswith("| car | 0.") and " to " in line
    ]
    assert row.split(" | ")[2] == "1.00 to 1.00"


def test_a_mistake_is_one_sentence(cli: Cli, make_task: Callable[..., Any]) -> None:
    task = make_task(1)
    status, out, err = cli("evaluate", task.id)
    assert (status, out) == (2, "")
    assert (
        "no job is finished (a job is finished when its state is completed or its"
        in err.splitlines()[-1]
    )
    status, _, err = cli("evaluate", task.id, "--truth-file", "absent.json")
    assert status == 2
    assert "--truth-file absent.json: cannot be read" in err
    status, _, err = cli("evaluate", task.id, "--label-thresholds", "{cat: 0.5}")
    assert status == 2
    assert "--label-thresholds: the function has no label 'cat'" in err


def test_a_failed_frame_is_status_1(cli: Cli, checked: Any) -> None:
    status, out, _ = cli("evaluate", checked.id, "-p", "fail=str:img_0001.jpg")
    assert status == 1
    assert "failed on 1 frame" in out


def test_the_suggested_thresholds_are_options_of_annotate(
    cli: Cli, make_task: Callable[..., Any], tmp_path: Path
) -> None:
    task = make_task(12)
    draw_cars(task, range(8))
    status, _, _ = cli("evaluate", task.id, "--output", tmp_path, "--min-precision", "0.3")
    assert status == 0
    thresholds = tmp_path / "thresholds.yaml"
    assert '"car": 0.5  # precision 0.667, recall 1.000' in thresholds.read_text()
    arguments = ("--label-thresholds", thresholds, "--dry-run")
    status, out, _ = cli("annotate", task.id, *arguments)
    assert status == 0
    assert "12 of 12 frames would be annotated" in out


def test_frames_to_correct_are_listed_with_links(
    cli: Cli, make_task: Callable[..., Any], tmp_path: Path
) -> None:
    task = make_task(12)
    draw_cars(task, range(11))
    status, out, _ = cli("evaluate", task.id, "--output", tmp_path)
    assert status == 0
    assert "what to correct first" in out
    (row,) = csv.DictReader((tmp_path / "frames.csv").read_text().splitlines())
    assert (row["frame"], row["reasons"]) == ("11", "1 extra")
    assert row["url"].endswith("?frame=11")
    # The detection has the usual score of right ones, so a person may have forgotten the car.
    (mistake,) = csv.DictReader((tmp_path / "mistakes.csv").read_text().splitlines())
    assert (mistake["frame"], mistake["kind"], mistake["detected"]) == ("11", "forgotten", "car")
    page = (tmp_path / "evaluation.md").read_text()
    assert f"[frame 11]({row['url']})" in page


def test_a_recorded_evaluation_is_an_artifact_with_pictures(
    cli: Cli, make_task: Callable[..., Any], prefect_server: None
) -> None:
    task = make_task(2)
    draw_cars(task, [0])
    status, _, _ = cli("evaluate", task.id)
    assert status == 0
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(like_=f"cvat-task-{task.id}-evaluation%"))
        (artifact,) = client.read_artifacts(artifact_filter=wanted)
    page = str(artifact.data)
    assert "### What is taken for what" in page
    assert page.count("data:image/svg+xml") == 1
    assert page.count("data:image/jpeg") == 1
    assert artifact.description
    assert artifact.description.startswith("precision 0.500")


def test_two_functions_are_compared(
    cli: Cli, make_task: Callable[..., Any], function_file: Path, tmp_path: Path
) -> None:
    task = make_task(12)
    draw_cars(task, range(12))
    other = ("--other-function", function_file, "--output", tmp_path)
    # The other one finds only a part of each car, which is less than half of it.
    worse = ("--other-function-parameters", "{width: 40.0}")
    status, out, _ = cli("compare", task.id, *other, *worse)
    assert status == 0
    assert "AP50 -1.000 (-1.000 to -1.000), worse" in out
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert {(row["label"], row["figure"]) for row in rows} == {
        (label, figure)
        for label in ("car", "all")
        for figure in ("precision", "recall", "f1", "ap50")
    }
    assert {row["verdict"] for row in rows} == {"worse"}
    assert "| all | recall | 1.000 | 0.000 |" in (tmp_path / "comparison.md").read_text()
    status, _, err = cli("compare", task.id)
    assert status == 2
    assert "--other-function: is missing" in err
