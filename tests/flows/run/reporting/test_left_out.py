"""What a run did not upload is in its state message, in its report and in the command's summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.commands.printing.run_output import show
from tests.flows.conftest import frames_of
from tests.flows.run.reporting.test_report import key_of
from tests.support.prefect_records import artifacts_of
from tests.tasks.reports.markdown_reader import read

MakeTask = Callable[..., Any]

OTHER_OPTIONS = {"max_shapes_per_frame": 7}
"""A run with other options looks at all frames again."""


def test_what_people_deleted_is_withheld_and_counted(
    make_task: MakeTask,
    annotate_in_prefect: Any,
    sandbox: SandboxProcess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    annotate = annotate_in_prefect
    task = make_task(3)
    annotate(task)
    shapes = task.get_annotations().shapes
    task.remove_annotations(ids=[shape.id for shape in shapes if shape.frame == 1])
    finished = annotate(task, **OTHER_OPTIONS)
    sentence = "3 of 3 frames annotated, annotations left out: 1 withheld"
    assert finished.report.sentence == sentence
    assert list(finished.report.table()["withheld"]) == [0, 1, 0]
    assert frames_of(task) == [0, 2]

    (artifact,) = artifacts_of(finished, key=key_of(task, "report", sandbox))
    page = read(artifact.data)
    (row,) = [row for table in page.tables for row in table if row[0] == "1 annotation withheld"]
    assert "--existing clear" in row[1]
    show(finished.report, None)
    assert "1 annotation withheld: people changed or deleted them" in capsys.readouterr().out

    # What the message says works.
    assert annotate(task, existing="clear", **OTHER_OPTIONS).report.left_out == []
    assert frames_of(task) == [0, 1, 2]


def test_a_run_over_a_task_that_somebody_emptied_says_so(
    make_task: MakeTask, annotate: Any
) -> None:
    task = make_task(4, segment_size=2)
    annotate(task)
    assert annotate(task).report.sentence == "nothing to do, 4 skipped (4 done before)"
    task.remove_annotations()
    finished = annotate(task)
    assert finished.report.sentence == (
        "nothing to do, 4 skipped (4 done before), annotations left out: 4 removed in CVAT"
    )
    (removed,) = [one for one in finished.report.left_out if "removed" in one.what]
    assert removed.what == "4 annotations removed in CVAT"
    assert "--existing clear" in removed.remedy
    annotate(task, existing="clear")
    assert frames_of(task) == [0, 1, 2, 3]


def test_frames_that_the_options_do_not_select_are_counted(
    make_task: MakeTask, annotate: Any
) -> None:
    task = make_task(5)
    finished = annotate(task, frames="1-2")
    assert [one.what for one in finished.report.left_out] == ["3 frames not selected"]
    # That is what was asked for: no need to repeat it in the state message.
    assert finished.report.sentence == "2 of 2 frames annotated"
