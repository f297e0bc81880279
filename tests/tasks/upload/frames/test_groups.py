"""A function's groups get numbers that nothing else in the job has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.upload.undo import undo
from tests.support.faults import Fault
from tests.tasks.upload.upload_bench import Bench, FaultyClient


def pair(bench: Bench, frame: int, x: float = 1.0, group: int = 1) -> list[Annotation]:
    return [bench.box(frame, x, group=group), bench.box(frame, x + 20, group=group)]


def groups(bench: Bench, job: int | None = None) -> dict[int, list[tuple[int, float]]]:
    """Return the frame and the left edge of each shape, by the number of its group."""
    found: dict[int, list[tuple[int, float]]] = {}
    for shape in bench.annotations(job)["shapes"]:
        place = (shape["frame"], shape["points"][0])
        found.setdefault(shape["group"] or 0, []).append(place)
    return {number: sorted(places) for number, places in found.items()}


def test_groups_of_people_and_of_other_frames_are_different(bench: Bench) -> None:
    bench.add(*pair(bench, 0, 50.0))
    outcomes = [bench.outcome(n, *pair(bench, n), bench.box(n, 7.0)) for n in range(2)]
    assert bench.upload(*outcomes).created == 6
    assert groups(bench) == {
        0: [(0, 7.0), (1, 7.0)],
        1: [(0, 50.0), (0, 70.0)],
        2: [(0, 1.0), (0, 21.0)],
        3: [(1, 1.0), (1, 21.0)],
    }


def test_groups_of_tracks_and_tags_are_in_use(bench: Bench) -> None:
    car, sunny = bench.labels["car"], bench.labels["sunny"]
    keyframe = {"type": "rectangle", "frame": 0, "points": [1, 1, 9, 9]}
    track = {"frame": 0, "label_id": car, "group": 4, "shapes": [keyframe]}
    tag = {"frame": 3, "label_id": sunny, "group": 2}
    bench.change("create", {"tracks": [track], "tags": [tag]})
    bench.upload(bench.outcome(0, *pair(bench, 0), *pair(bench, 0, 5.0, group=9)))
    assert groups(bench) == {5: [(0, 1.0), (0, 21.0)], 6: [(0, 5.0), (0, 25.0)]}


@pytest.mark.parametrize("manifest", ["kept", "lost"])
def test_a_second_run_finds_its_groups(bench: Bench, tmp_path: Path, manifest: str) -> None:
    bench.add(*pair(bench, 0, 50.0), source="auto")
    outcome = bench.outcome(0, *pair(bench, 0), *pair(bench, 0, 5.0, group=2), bench.tag(0))
    bench.upload(outcome)
    before = groups(bench)
    if manifest == "lost":
        shutil.rmtree(tmp_path / "storage")
    again = bench.upload(outcome, run="run-2", existing="keep")
    assert (again.created, again.kept, again.withheld) == (0, 5, 0)
    cleared = bench.upload(outcome, run="run-3", existing="clear")
    assert (cleared.created, cleared.kept, cleared.deleted) == (0, 5, 2)
    assert groups(bench) == {n: places for n, places in before.items() if n != 1}


def test_replace_deletes_its_groups(bench: Bench) -> None:
    bench.add(*pair(bench, 0, 50.0))
    bench.upload(bench.outcome(0, *pair(bench, 0), *pair(bench, 0, 5.0, group=2)))
    other = bench.outcome(0, *pair(bench, 0), *pair(bench, 0, 9.0, group=3))
    replaced = bench.upload(other, run="run-2", existing="replace")
    assert (replaced.created, replaced.kept, replaced.deleted) == (2, 2, 2)
    assert groups(bench) == {
        1: [(0, 50.0), (0, 70.0)],
        2: [(0, 1.0), (0, 21.0)],
        4: [(0, 9.0), (0, 29.0)],
    }


def test_a_new_member_joins_its_group(bench: Bench) -> None:
    bench.upload(bench.outcome(0, *pair(bench, 0)))
    bench.upload(bench.outcome(0, *pair(bench, 0), bench.box(0, 9.0, group=1)), run="run-2")
    assert groups(bench) == {1: [(0, 1.0), (0, 9.0), (0, 21.0)]}


def test_an_object_that_a_person_regroups_is_theirs(bench: Bench) -> None:
    bench.upload(bench.outcome(0, *pair(bench, 0)))
    shape = bench.annotations(0)["shapes"][0]
    bench.edit(shape, group=0)
    (job,) = undo(bench.client, bench.task.id, storage=bench.storage, stamp=RunStamp(id="undo"))
    assert (job.deleted, job.left) == (1, 1)
    # What they ungrouped is not uploaded again.
    again = bench.upload(bench.outcome(0, *pair(bench, 0)), run="run-2")
    assert (again.created, again.withheld) == (1, 1)


def test_a_group_that_people_made_after_an_undo_stays_theirs(bench: Bench) -> None:
    outcome = bench.outcome(0, *pair(bench, 0))
    bench.upload(outcome)
    undo(bench.client, bench.task.id, storage=bench.storage, stamp=RunStamp(id="undo"))
    bench.add(*pair(bench, 0, 50.0))
    bench.upload(outcome, run="run-2")
    assert groups(bench) == {1: [(0, 50.0), (0, 70.0)], 2: [(0, 1.0), (0, 21.0)]}
    again = bench.upload(outcome, run="run-3", existing="replace")
    assert (again.created, again.kept, again.deleted) == (0, 2, 0)


def test_each_job_has_its_own_numbers(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(6, segment_size=4, overlap=2)
    bench.add(*pair(bench, 0, 50.0, group=7), job=0)
    for job in (0, 1):
        bench.upload(bench.outcome(2, *pair(bench, 2)), job=job)
    assert groups(bench, 0) == {7: [(0, 50.0), (0, 70.0)], 8: [(2, 1.0), (2, 21.0)]}
    assert groups(bench, 1) == {1: [(2, 1.0), (2, 21.0)]}


@pytest.mark.parametrize("action", ["status_after", "status_before", "reset_after", "truncate"])
def test_a_create_with_groups_is_recognised_after_an_unclear_answer(
    bench: Bench, with_faults: Callable[..., FaultyClient], action: Any
) -> None:
    bench.add(*pair(bench, 0, 50.0))
    creates: list[int] = []

    def decide(index: int, kind: str, exchange: Any) -> Fault | None:
        if kind == "create" and not creates:
            creates.append(index)
            return Fault(action=action, status=502)
        return None

    outcomes = [bench.outcome(n, *pair(bench, n)) for n in range(2)]
    bench.upload(*outcomes, client=with_faults(decide).client)
    assert creates
    assert groups(bench) == {
        1: [(0, 50.0), (0, 70.0)],
        2: [(0, 1.0), (0, 21.0)],
        3: [(1, 1.0), (1, 21.0)],
    }
    assert bench.upload(*outcomes, run="run-2").kept == 4
