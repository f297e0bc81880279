"""Commands that delete or repeat show what they would do, and ask."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.conftest import frames_of


class Terminal(io.StringIO):
    """Standard input of somebody who answers."""

    def isatty(self) -> bool:
        return True


def test_undo_shows_what_it_would_delete_and_asks(
    make_task: Callable[..., Any], cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(2)
    assert cli("annotate", task.id)[0] == 0
    status, out, err = cli("undo", task.id, function=False)
    assert (status, "would be deleted" in out) == (2, True)
    assert f"delete 2 annotations of task {task.id} in CVAT?" in err
    assert "use --yes" in err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    status, out, _ = cli("undo", task.id, function=False)
    assert (status, "nothing was deleted" in out, frames_of(task)) == (1, True, [0, 1])
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert cli("undo", task.id, function=False)[0] == 0
    assert frames_of(task) == []


def test_the_manifest_keeps_the_history_of_runs(
    make_task: Callable[..., Any], cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(3)
    assert cli("annotate", task.id, "-p", "fail=str:img_0002.jpg")[0] == 1
    assert cli("annotate", task.id, "--existing", "replace")[0] == 0
    monkeypatch.setenv("COLUMNS", "80")
    out = cli("manifest", task.id, function=False)[1]
    row = r"^([0-9a-f]{8}) +(\S+ \S+) +[0-9a-f]{8} +(\S.*\S) +(\d+) +(\d+) +(\d+) *$"
    found = re.findall(row, out, re.MULTILINE)
    assert [(one[2].strip(), *one[3:]) for one in found] == [
        ("2 annotated, 1 failed", "2", "0", "2"),
        ("3 annotated", "1", "0", "1"),  # two were there already
    ]
    assert cli("undo", task.id, "--run", found[1][0], "--yes", function=False)[0] == 0
    assert frames_of(task) == [0, 1]
    lines = cli("manifest", task.id, function=False)[1].splitlines()
    assert re.search(r" undo +0 +1 +0 *$", lines[-2])
    assert max(map(len, lines[:-1])) <= 80


def test_an_unknown_function_is_not_an_empty_manifest(
    make_task: Callable[..., Any], cli: Any
) -> None:
    task = make_task(1)
    assert cli("annotate", task.id)[0] == 0
    status, _, err = cli("undo", task.id, "--function", "yolov8n", "--yes", function=False)
    assert status == 2
    assert "--function yolov8n: the task has annotations of one_box.py@" in err


def test_retry_says_which_run_and_asks(
    prefect_server: None,
    make_task: Callable[..., Any],
    cli: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(2)
    assert cli("annotate", task.id, "-p", "fail=str:img_0001.jpg")[0] == 1
    status, _, err = cli("retry", function=False)
    assert (status, "use --yes" in err) == (2, True)
    assert f"the latest failed run is 'annotate {task.id} " in err
    assert "1 of 2 frames annotated, 1 failed" in err
    status, out, _ = cli("retry", "--yes", "--json", "--quiet", function=False)
    assert (status, json.loads(out)["frames"]["failed"]) == (1, 1)


def test_retry_without_a_server(cli: Any) -> None:
    status, _, err = cli("retry", function=False)
    assert (status, "repeat the command of the run" in err) == (2, True)
