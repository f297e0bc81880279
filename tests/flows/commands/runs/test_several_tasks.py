"""Several CVAT tasks with one command, and what programs can read of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cvat_sdk import Client, models

from tests.flows.conftest import frames_of


@pytest.fixture
def project(client: Client) -> Iterator[Any]:
    label = models.PatchedLabelRequest(name="car")
    made = client.projects.create(models.ProjectWriteRequest(name="several", labels=[label]))
    yield made
    made.remove()


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_worst_decides_the_exit_status(make_task: Callable[..., Any], cli: Any) -> None:
    tasks = [make_task(2) for _ in range(2)]
    status, out, err = cli("annotate", tasks[0].id, 999_999, tasks[1].id, tasks[0].id)
    assert (status, err.count("loading one_box")) == (2, 1)
    assert "task 999999: task 999999 does not exist" in err
    assert "3 tasks: 2 annotated, 1 not" in out
    assert [frames_of(task) for task in tasks] == [[0, 1], [0, 1]]
    failing = [*[task.id for task in tasks], "-p", "fail=str:img_0001.jpg"]
    status, out, _ = cli("annotate", *failing, "--json", "--quiet")
    assert status == 1
    assert [row["frames"]["failed"] for row in rows(out)] == [1, 1]
    assert rows(out)[0]["failed_frames"][0]["name"] == "img_0001.jpg"


def test_a_project_and_what_is_new_in_it(
    project: Any, make_task: Callable[..., Any], client: Client, cli: Any
) -> None:
    first = make_task(2, project_id=project.id)
    empty = client.tasks.create(models.TaskWriteRequest(name="e", labels=[], project_id=project.id))
    assert cli("annotate", first.id)[0] == 0
    second = make_task(3, project_id=project.id)
    status, out, err = cli("annotate", "--project", "several", "--all-new", "--json")
    assert (status, [row["task"] for row in rows(out)]) == (0, [second.id])
    assert "1 task to annotate, 1 task done before" in err
    assert f"task {empty.id} 'e': waiting, no data yet" in err
    status, out, _ = cli("annotate", "--project", project.id)
    assert (status, out.count("nothing to do")) == (0, 2)
    status, out, err = cli("annotate", "--project", "several", "--all-new", "--quiet")
    assert (status, out, err) == (0, "", "")
    # Other options that change the result make them new again.
    options = ("--project", "several", "--all-new", "--json", "--geometry", "clip")
    assert len(rows(cli("annotate", *options)[1])) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the tasks: with TASK_ID, or with --project or --all-new"),
        (["5", "--all-new"], "name the tasks"),
        (["5", "x"], "TASK_ID x: must be the number of a CVAT task"),
        (["--project", "nowhere"], "there is no task in --project nowhere"),
    ],
)
def test_tasks_that_nobody_can_mean(cli: Any, arguments: list[str], message: str) -> None:
    status, _, err = cli("annotate", *arguments)
    assert (status, message in err) == (2, True)


def test_every_command_that_reports_has_json_and_quiet(
    make_task: Callable[..., Any], cli: Any, tmp_path: Any
) -> None:
    task = make_task(2)
    page = ("--output", str(tmp_path / "page.html"))
    calls: list[tuple[Any, ...]] = [
        ("match", task.id),
        ("preview", task.id, *page),
        ("annotate", task.id),
        ("annotate-new", "--task-name", "no such task"),
    ]
    without_function: list[tuple[Any, ...]] = [
        ("cache",),
        ("manifest", task.id),
        ("undo", task.id, "--yes"),
        ("doctor", "--only", "storage"),
    ]
    for call in [*calls, *without_function]:
        for flags in (("--json",), ("--quiet",)):
            if call[0] == "undo" and flags == ("--quiet",):
                cli("annotate", task.id)
            status, out, err = cli(*call, *flags, function=call in calls)
            assert status == 0, (call, err)
            if flags == ("--json",):
                assert rows(out), call
            else:
                assert (out, err) == ("", ""), call
