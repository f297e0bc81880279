"""Uploading a job without faults: what is created, kept, refused and left unchanged."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk import models

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job import NotWritable
from tests.support.faults import Fault
from tests.tasks.upload.upload_bench import Bench, FaultyClient

WithFaults = Callable[..., FaultyClient]
MakeBench = Callable[..., Bench]


def test_uploading_again_creates_nothing(bench: Bench) -> None:
    outcomes = [
        bench.outcome(0, bench.box(0), bench.box(0, 20), bench.tag(0)),
        bench.outcome(
            1, bench.pose(1), bench.box(1, attributes=((bench.attributes["kind"], "b"),))
        ),
        bench.outcome(2),
    ]
    first = bench.upload(*outcomes)
    assert (first.created, first.kept, first.requests, first.doubtful) == (5, 0, 1, 0)
    found = bench.annotations()
    assert [item["frame"] for item in found["shapes"]] == [0, 0, 1, 1]
    assert [item["source"] for item in found["shapes"] + found["tags"]] == ["auto"] * 5
    again = bench.upload(*outcomes, run="run-2")
    assert (again.created, again.kept, again.requests) == (0, 5, 0)
    assert bench.annotations() == found
    manifest = bench.manifest("run-3")
    assert all(manifest.is_done(bench.frame(number)) for number in range(3))
    assert not manifest.is_done(bench.frame(3))


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
def test_a_lost_manifest_does_not_lead_to_duplicates(bench: Bench, existing: str) -> None:
    outcome = bench.outcome(0, bench.box(0), bench.box(0), bench.pose(0), bench.tag(0))
    bench.upload(outcome)
    before = bench.annotations()
    for stored in list(bench.storage.list("")):
        bench.storage.delete(stored.path)
    report = bench.upload(outcome, existing=existing)
    assert (report.created, report.kept, report.deleted) == (0, 4, 0)
    assert bench.annotations() == before


def test_requests_are_limited_and_contain_whole_frames(
    bench: Bench, with_faults: WithFaults
) -> None:
    bodies: list[bytes] = []

    def watch(index: int, kind: str, exchange: Any) -> None:
        if kind == "create":
            bodies.append(exchange.body)

    outcomes = [
        bench.outcome(n, *(bench.box(n, x) for x in range(count)))
        for n, count in enumerate((2, 2, 5, 1, 1, 1))
    ]
    report = bench.upload(*outcomes, client=with_faults(watch).client, max_shapes=4)
    sent = [sorted({int(part) for part in _frames(body)}) for body in bodies]
    assert sent == [[0, 1], [2], [3, 4, 5]]
    assert (report.requests, report.created) == (3, 12)

    bodies.clear()
    wide = [bench.outcome(n, bench.box(n, 40)) for n in range(6)]
    bench.upload(*wide, client=with_faults(watch).client, max_bytes=600)
    assert max(len(body) for body in bodies) <= 600 + 30
    assert 1 < len(bodies) < 6


def _frames(body: bytes) -> list[str]:
    return [part.split(b",")[0].decode() for part in body.split(b'"frame":')[1:]]


def test_the_frame_at_fault_is_found_and_fails_alone(bench: Bench) -> None:
    bad = bench.outcome(3, bench.box(3), bench.tag(3), bench.box(3, attributes=((2**31 - 7, "x"),)))
    outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(6)]
    outcomes[3] = bad
    report = bench.upload(*outcomes)
    (failed,) = report.failed
    assert failed.frame.number == 3
    assert failed.failure is not None
    assert failed.failure.step == "upload"
    assert "spec_id `2147483641` is invalid" in failed.failure.error
    assert bench.frames() == bench.frames("tags") == [0, 1, 2, 4, 5]
    record = bench.manifest().record(bench.jobs[0].id, 3)
    assert record is not None
    assert (record.state, record.items) == ("failed", ())
    # A later run of the corrected function uploads it.
    assert bench.upload(bench.outcome(3, bench.box(3)), run="run-2").created == 1


def test_the_annotation_at_fault_is_named(bench: Bench) -> None:
    bad = bench.outcome(1, bench.box(1), evolve(bench.box(1), points=(1.0, 2.0, 3.0)))
    report = bench.upload(bench.outcome(0, bench.box(0)), bad)
    (failed,) = report.failed
    assert failed.failure is not None
    assert "rectangle of label id" in failed.failure.error
    assert "invalid length" in failed.failure.error
    assert bench.frames() == [0]


def test_annotations_that_would_damage_the_task_are_not_sent(
    bench: Bench, with_faults: WithFaults
) -> None:
    faulty = with_faults()
    head, tail = bench.pose(0).elements
    askew = evolve(bench.pose(0), elements=(evolve(head, frame=1), tail))
    outcomes = [
        bench.outcome(0, askew),  # would make the task unreadable
        bench.outcome(1, bench.box(2)),
        bench.outcome(2, bench.box(2, source="x" * 17)),
        bench.outcome(3, evolve(bench.box(3), points=(float("nan"), 0.0, 1.0, 1.0))),
        evolve(bench.outcome(0, bench.box(99)), frame=evolve(bench.frame(0), number=99)),
    ]
    report = bench.upload(*outcomes, client=faulty.client)
    assert len(report.failed) == 5
    errors = [o.failure.error for o in report.failed if o.failure]
    for error, words in zip(
        errors,
        ("frame number", "frame number", "source", "finite", "is not in the job"),
        strict=True,
    ):
        assert words in error
    assert faulty.log == ["read"]
    assert bench.annotations() == {"version": 0, "tags": [], "shapes": [], "tracks": []}


def test_a_dry_run_reports_but_writes_nothing(bench: Bench, with_faults: WithFaults) -> None:
    bench.upload(bench.outcome(0, bench.box(0), bench.box(0, 20)))
    bench.add(bench.box(1))
    before = bench.annotations()
    files = {stored.path: stored.modified for stored in bench.storage.list("")}
    date = bench.client.tasks.retrieve(bench.task.id).updated_date
    faulty = with_faults()
    outcomes = [
        bench.outcome(0, bench.box(0), bench.box(0, 30)),
        bench.outcome(1, bench.tag(1)),
        bench.failed(2),
    ]
    expected = {"keep": (2, 1, 0), "replace": (2, 1, 1), "clear": (2, 1, 2)}
    for existing, counts in expected.items():
        report = bench.upload(
            *outcomes, client=faulty.client, run="dry", existing=existing, dry_run=True
        )
        assert (report.created, report.kept, report.deleted) == counts
        assert "would be created" in str(report)
    assert set(faulty.log) == {"read"}
    assert bench.annotations() == before
    assert {stored.path: stored.modified for stored in bench.storage.list("")} == files
    assert bench.client.tasks.retrieve(bench.task.id).updated_date == date
    # The real run does exactly that.
    report = bench.upload(*outcomes, run="wet", existing="clear")
    assert (report.created, report.kept, report.deleted) == expected["clear"]


def test_keep_does_not_create_again_what_people_removed_or_changed(bench: Bench) -> None:
    outcome = bench.outcome(0, bench.box(0), bench.box(0, 20), bench.box(0, 30))
    bench.upload(outcome)
    removed, moved, kept = bench.annotations()["shapes"]
    bench.remove(removed)
    bench.edit(moved, points=[0, 0, 5, 5])
    for existing in ("keep", "replace"):
        report = bench.upload(outcome, run="run-2", existing=existing)
        assert (report.created, report.kept, report.withheld) == (0, 1, 2)
        assert "2 not created because people changed or removed them" in str(report)
    shapes = {item["id"]: item["points"] for item in bench.annotations()["shapes"]}
    assert shapes == {moved["id"]: [0, 0, 5, 5], kept["id"]: kept["points"]}
    assert bench.upload(outcome, run="run-3", existing="clear").created == 2


def test_replace_keeps_what_people_changed(bench: Bench) -> None:
    mine = [bench.box(0, x) for x in (0, 10, 20, 30, 40)]
    bench.add(bench.box(0, 5))
    bench.add(bench.box(0, 6), source="auto")
    people = bench.annotations()["shapes"]
    bench.upload(bench.outcome(0, *mine, bench.tag(0)))
    moved, relabelled, attributed, _, untouched = [
        s for s in bench.annotations()["shapes"] if s not in people
    ]
    bench.edit(moved, points=[0, 0, 5, 5])
    bench.edit(relabelled, label_id=bench.labels["bus"], attributes=[])
    spec = {"spec_id": bench.attributes["kind"], "value": "b"}
    bench.edit(attributed, attributes=[spec])
    touched = [
        s
        for s in bench.annotations()["shapes"]
        if s["id"] in {moved["id"], relabelled["id"], attributed["id"]}
    ]
    report = bench.upload(
        bench.outcome(0, bench.box(0, 40), bench.box(0, 50)), run="run-2", existing="replace"
    )
    assert (report.created, report.kept, report.deleted) == (1, 1, 2)  # one box and the tag
    after = bench.annotations()
    assert after["tags"] == []
    for shape in (*people, *touched, untouched):
        assert shape in after["shapes"]
    assert len(after["shapes"]) == len(people) + len(touched) + 2


def test_clear_empties_annotated_frames_only_and_leaves_tracks(bench: Bench) -> None:
    for number in range(3):
        bench.add(bench.box(number, 30), bench.pose(number))
    keys = [{"type": "rectangle", "frame": 0, "points": [1.0, 1.0, 5.0, 5.0]}]
    track = {"label_id": bench.labels["car"], "frame": 0, "shapes": keys}
    bench.change("create", {"tracks": [track]})
    before = bench.annotations()
    report = bench.upload(
        bench.outcome(0, bench.box(0)), bench.failed(1), bench.outcome(2), existing="clear"
    )
    assert (report.created, report.deleted) == (1, 4)
    after = bench.annotations()
    assert after["tracks"] == before["tracks"]
    assert [s for s in after["shapes"] if s["frame"] == 1] == [
        s for s in before["shapes"] if s["frame"] == 1
    ]
    assert bench.frames() == [0, 1, 1]


@pytest.mark.parametrize("existing", ["replace", "clear"])
def test_new_annotations_are_created_before_old_ones_are_deleted(
    bench: Bench, with_faults: WithFaults, existing: str
) -> None:
    bench.upload(*(bench.outcome(n, bench.box(n)) for n in range(6)))
    faulty = with_faults()
    new = [bench.outcome(n, bench.box(n, 30)) for n in range(6)]
    report = bench.upload(*new, client=faulty.client, run="run-2", existing=existing, max_shapes=3)
    assert (report.created, report.deleted) == (6, 6)
    assert faulty.log == ["read", "create", "create", "read", "delete", "delete"]


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
def test_a_frame_that_fails_keeps_what_it_had(bench: Bench, existing: str) -> None:
    bench.upload(bench.outcome(0, bench.box(0)), bench.outcome(1, bench.box(1)))
    bench.add(bench.box(1, 30))
    before = bench.annotations()
    rejected = bench.outcome(1, bench.box(1, 20), bench.box(1, attributes=((2**31 - 7, "x"),)))
    report = bench.upload(bench.failed(0), rejected, run="run-2", existing=existing)
    assert bench.annotations() == before
    assert [o.frame.number for o in report.failed] == [1]
    assert [f.failure is not None for f in report.frames] == [True, True]
    assert not bench.manifest().is_done(bench.frame(1))
    # Their earlier annotations are still recorded as ours.
    report = bench.upload(bench.outcome(0), bench.outcome(1), run="run-3", existing="replace")
    assert report.deleted == 2


def test_jobs_that_overlap_hold_equal_copies(make_bench: MakeBench) -> None:
    bench = make_bench(segment_size=4, overlap=2)
    for run in ("run-1", "run-2"):
        for job, numbers in ((0, range(4)), (1, range(2, 6))):
            outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in numbers]
            bench.upload(*outcomes, job=job, run=run)
    assert bench.frames(job=0) == [0, 1, 2, 3]
    assert bench.frames(job=1) == [2, 3, 4, 5]
    assert bench.frames() == [0, 1, 2, 3, 4, 5]
    assert bench.manifest().is_done(bench.frame(2))


def test_ground_truth_is_written_only_on_request(bench: Bench) -> None:
    job, _ = bench.client.api_client.jobs_api.create(
        models.JobWriteRequest(
            task_id=bench.task.id,
            type="ground_truth",
            frame_selection_method="manual",
            frames=[1, 4],
        )
    )
    bench.jobs = [bench.client.jobs.retrieve(job.id)]
    outcomes = [bench.outcome(n, bench.box(n)) for n in (1, 2)]
    with pytest.raises(NotWritable, match="ground truth"):
        bench.upload(*outcomes)
    assert bench.frames(job=0) == []
    report = bench.upload(*outcomes, ground_truth=True)
    assert bench.frames(job=0) == [1]
    assert [o.frame.number for o in report.failed] == [2]  # CVAT would have stored this frame


def test_a_job_of_another_task_is_refused(bench: Bench) -> None:
    bench.task = SimpleNamespace(id=bench.task.id + 1000, created_date=bench.task.created_date)
    with pytest.raises(NotWritable, match=f"not to task {bench.task.id}"):
        bench.upload(bench.outcome(0, bench.box(0)))


def test_a_missing_permission_is_not_retried(bench: Bench, with_faults: WithFaults) -> None:
    faulty = with_faults(lambda i, kind, e: Fault(action="status_before", status=403))
    with pytest.raises(CvatRefused, match="a server in front of CVAT forbids this") as caught:
        bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client)
    assert caught.value.status == 403
    assert len(faulty.log) == 1
    bench.jobs[0] = SimpleNamespace(id=10**6, start_frame=0, stop_frame=5)
    with pytest.raises(CvatRefused, match="does not exist"):
        bench.upload(bench.outcome(0, bench.box(0)))


def test_a_run_without_its_lease_does_not_write(bench: Bench, with_faults: WithFaults) -> None:
    def lost() -> None:
        raise RuntimeError("lease lost")

    faulty = with_faults()
    with pytest.raises(RuntimeError, match="lease lost"):
        bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client, check=lost)
    assert faulty.log == ["read"]
    assert bench.frames() == []
