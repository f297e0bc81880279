"""Undo deletes what a run created and nobody has changed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.record.lease import TaskIsBusy, task_lease
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.undo import NothingToUndo, undo
from cvat_flows.tasks.upload.undo_job import UndoneJob
from tests.support.faults import Fault
from tests.tasks.upload.upload_bench import SHORT_WAITS, Bench, FaultyClient

WithFaults = Callable[..., FaultyClient]


def undo_in(bench: Bench, **options: Any) -> list[UndoneJob]:
    client = options.pop("client", bench.client)
    dry_run = options.pop("dry_run", False)
    return undo(
        client,
        bench.task.id,
        storage=bench.storage,
        stamp=RunStamp(id="undo"),
        options=UploadOptions(retry_policy=SHORT_WAITS, dry_run=dry_run),
        **{"wait": 0, **options},
    )


def test_all_runs_are_undone_except_what_people_changed(bench: Bench) -> None:
    bench.add(bench.box(0, 40))
    theirs = bench.annotations()["shapes"]
    outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(3)]
    bench.upload(*outcomes)
    moved = next(s for s in bench.annotations()["shapes"] if s["frame"] == 1)
    bench.edit(moved, points=[0.0, 0.0, 5.0, 5.0])
    (forecast,) = undo_in(bench, dry_run=True)
    assert (forecast.deleted, forecast.left) == (5, 1)
    (undone,) = undo_in(bench)
    assert (undone.frames, undone.deleted, undone.left) == (3, 5, 1)
    after = bench.annotations()
    assert after["tags"] == []
    assert [s for s in after["shapes"] if s["source"] == "manual"] == theirs
    assert [s["id"] for s in after["shapes"] if s["source"] == "auto"] == [moved["id"]]
    assert not bench.manifest().is_done(bench.frame(0))
    # A second undo has nothing to do.
    assert sum(job.deleted for job in undo_in(bench)) == 0
    # Annotating again creates everything again, except what a person had changed.
    report = bench.upload(*outcomes, run="run-2")
    assert (report.created, report.withheld) == (5, 1)


def test_one_run_is_undone(bench: Bench) -> None:
    bench.upload(bench.outcome(0, bench.box(0)), bench.outcome(1, bench.box(1)))
    bench.upload(bench.outcome(0, bench.box(0), bench.box(0, 20)), run="run-2")
    (undone,) = undo_in(bench, run="run-2")
    assert (undone.frames, undone.deleted) == (1, 1)
    assert bench.frames() == [0, 1]
    assert bench.manifest().is_done(bench.frame(1))
    assert not bench.manifest().is_done(bench.frame(0))
    with pytest.raises(NothingToUndo, match="run-9"):
        undo_in(bench, run="run-9")


def test_objects_that_existed_before_are_not_undone(bench: Bench) -> None:
    bench.add(bench.box(0), source="auto")
    assert bench.upload(bench.outcome(0, bench.box(0))).kept == 1
    (undone,) = undo_in(bench)
    assert undone.deleted == 0
    assert bench.frames() == [0]


def test_one_function_or_all_are_undone(bench: Bench) -> None:
    for n, function in enumerate(("a", "b", "c")):
        bench.upload(bench.outcome(n, bench.box(n)), manifest=bench.manifest(function=function))
    undo_in(bench, function="b")
    assert bench.frames() == [0, 2]
    assert {job.function for job in undo_in(bench)} >= {"a", "c"}
    assert bench.frames() == []


def test_undo_does_not_write_while_another_run_does(bench: Bench) -> None:
    bench.upload(bench.outcome(0, bench.box(0)))
    writer = RunStamp(id="run-7", name="brave-otter")
    with (
        task_lease(bench.storage, task=bench.identity, run=writer),
        pytest.raises(TaskIsBusy, match="brave-otter"),
    ):
        undo_in(bench)
    assert bench.frames() == [0]


@pytest.mark.parametrize("run", [None, "run-1"])
def test_objects_that_an_interrupted_undo_deleted_are_created_by_the_next_run(
    bench: Bench, with_faults: WithFaults, run: str | None
) -> None:
    outcomes = [bench.outcome(n, bench.box(n)) for n in range(3)]
    bench.upload(*outcomes)
    bench.upload(*(bench.outcome(n, bench.box(n), bench.box(n, 20)) for n in range(3)), run="run-2")

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return Fault(action="status_after", status=403) if kind == "delete" else None

    with pytest.raises(CvatRefused):
        undo_in(bench, client=with_faults(choose_fault).client, run=run)
    # CVAT has deleted everything, but the undo did not learn of it.
    (undone,) = undo_in(bench, run=run)
    assert (undone.frames, undone.deleted, undone.left) == (3, 0, 0)
    report = bench.upload(*outcomes, run="run-3")
    assert (report.created, report.withheld) == (3, 0)


def test_after_a_doubtful_answer_the_job_is_read_again(
    bench: Bench, with_faults: WithFaults
) -> None:
    bench.upload(*(bench.outcome(n, bench.box(n)) for n in range(3)))
    faults = [Fault(action="reset_after"), Fault(action="reset_before")]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return faults.pop() if kind == "delete" and faults else None

    (undone,) = undo_in(bench, client=with_faults(choose_fault).client)
    assert undone.deleted == 3
    assert bench.frames() == []


def test_a_deleted_job_does_not_stop_the_others(bench: Bench) -> None:
    bench.upload(bench.outcome(0, bench.box(0)))
    lost = bench.manifest()
    record = lost.record(bench.jobs[0].id, 0)
    assert record is not None
    lost.write(10**6, {0: record})
    undone = {job.job_id: job for job in undo_in(bench)}
    assert undone[bench.jobs[0].id].deleted == 1
    assert undone[10**6].undeletable == ("job 1000000 does not exist any more",)


def test_a_task_without_a_manifest_has_nothing_to_undo(bench: Bench) -> None:
    bench.add(bench.box(0), source="auto")
    with pytest.raises(NothingToUndo, match=f"task {bench.task.id}"):
        undo_in(bench)
    assert bench.frames() == [0]
