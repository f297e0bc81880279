"""`cvat-flows evaluate`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def checked(make_task: Callable[..., Any]) -> Any:
    """A task with two frames of 64 x 48 pixels, on which a person has drawn the car."""
    task = make_task(2)
    (job,) = task.get_jobs()
    (label,) = task.get_labels()
    shapes = [
        models.LabeledShapeRequest(
            type="rectangle", frame=0, label_id=label.id, points=[1.0, 1.0, 63.0, 47.0]
        )
    ]
    data = models.PatchedLabeledDataRequest(shapes=shapes)
    job.update_annotations(data, action=AnnotationUpdateAction.CREATE)
    job.update(models.PatchedJobWriteRequest(state="completed"))
    return task


def test_it_prints_the_figures_and_writes_files(cli: Cli, checked: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    status, out, _ = cli("evaluate", checked.id, "--output", folder)
    assert status == 0
    assert "precision 0.500, recall 1.000, F1 0.667, AP50 1.000 on 2 frames" in out
    assert str(folder / "evaluation.md") in out
    content = json.loads((folder / "evaluation.json").read_text())
    assert content["overall"]["precision"] == 0.5
    assert content["truth"] == "1 of 1 jobs, finished"
    (row,) = csv.DictReader((folder / "labels.csv").read_text().splitlines())
    assert (row["label"], row["right"], row["extra"], row["recall"]) == ("car", "1", "1", "1")
    page = (folder / "evaluation.md").read_text()
    assert f"tasks/{checked.id}" in page
    assert "| car | 1 | 2 | 0.500 | 1.000 | 0.667 | 1.000 | 1.000 |" in page


def test_a_mistake_is_one_sentence(cli: Cli, make_task: Callable[..., Any]) -> None:
    task = make_task(1)
    status, out, err = cli("evaluate", task.id)
    assert (status, out) == (2, "")
    assert "no job is finished; complete a job in CVAT" in err.splitlines()[-1]
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
