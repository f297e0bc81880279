"""`cvat-flows review`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cvat_sdk import models

Cli = Callable[..., tuple[int, str, str]]


def test_one_task_and_all_tasks(cli: Cli, make_task: Callable[..., Any], tmp_path: Path) -> None:
    task = make_task(2)
    assert cli("annotate", task.id)[0] == 0
    status, _, err = cli("review", task.id, function=False)
    assert status == 2
    assert "no job of it is finished" in err
    (job,) = task.get_jobs()
    job.update(models.PatchedJobWriteRequest(state="completed"))
    status, out, _ = cli("review", task.id)
    assert status == 0
    assert "2 of 2 uploaded annotations kept, 0 moved" in out
    status, out, _ = cli("review", "--output", tmp_path, function=False)
    assert status == 0
    assert "1 task, uploads of the last 90 days" in out
    (row,) = csv.DictReader((tmp_path / "review.csv").read_text().splitlines())
    assert (row["task"], row["label"], row["kept"]) == (str(task.id), "car", "2")
    assert (tmp_path / "review.parquet").exists()
    status, out, _ = cli("review", "--history", "--output", tmp_path, function=False)
    assert status == 0
    assert re.search(r"one_box\.py@\w+, review of [\w.:]+, uploads of the last 90 days", out)
    assert re.search(r"car +1\.000 / 1\.000", out)
    assert "label" in (tmp_path / "history.csv").read_text()
    status, out, _ = cli("review", task.id, "--history", "--json", function=False)
    assert (status, out) == (0, "")


def test_evaluations_are_in_the_history_of_their_task(
    cli: Cli, make_task: Callable[..., Any]
) -> None:
    task = make_task(2)
    _, out, _ = cli("review", "--history", function=False)
    assert "nothing was measured in the last 90 days" in out
    assert cli("annotate", task.id)[0] == 0
    (job,) = task.get_jobs()
    job.update(models.PatchedJobWriteRequest(state="completed"))
    assert cli("review", "--days", "3", function=False)[0] == 0  # only a look
    assert cli("review", "--history", "--json", function=False)[1] == ""
    assert cli("evaluate", task.id)[0] == 0
    _, out, _ = cli("review", task.id, "--history", "--json", function=False)
    car, overall = map(json.loads, out.splitlines())
    assert (car["measured_by"], car["label"], car["right"]) == ("evaluation", "car", 2)
    assert (car["precision"], car["recall"], overall["label"]) == (1, 1, "all")


def test_mistakes(cli: Cli) -> None:
    status, _, err = cli("review")
    assert status == 2
    assert "--function: only with TASK_ID" in err
    for arguments, message in (
        (("12", "--days", "3"), "--days: only without TASK_ID"),
        (("--jobs", "3"), "--jobs: only with TASK_ID"),
        (("-p", "a=int:1"), "--function-parameter: needs --function"),
        (("12", "--conf-threshold", "0.5"), "conf_threshold without a function"),
        (("--history", "--jobs", "3"), "--jobs: not with --history"),
        (("--history", "--server-host", "x"), "--server-host: not with --history"),
        (("--history", "--days", "0"), "days"),
        (("x", "--history"), "TASK_ID x: must be the number of a CVAT task"),
    ):
        status, _, err = cli("review", *arguments, function=False)
        assert status == 2
        assert message in err
