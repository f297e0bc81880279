"""What people change in the task while a run writes to it stays as they left it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.upload.upload_bench import Bench, FaultyClient

WithFaults = Callable[..., FaultyClient]
MOMENTS = 8
"""More requests than an upload has here."""


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_person_can_work_at_any_moment(
    bench: Bench, with_faults: WithFaults, existing: str, moment: int
) -> None:
    """Just before request number `moment` reaches CVAT, a person creates, edits and deletes.

    There is one gap, documented in docs/upload.md: CVAT has no conditional delete, so an object
    that a person edits between our last read and the delete is deleted.
    """
    for number in range(3):
        bench.add(bench.box(number, 40))
    bench.upload(*(bench.outcome(n, bench.box(n), bench.box(n, 20)) for n in range(3)))
    before = bench.annotations()["shapes"]
    ours = [s for s in before if s["source"] == "auto" and s["frame"] == 1]
    theirs = [s for s in before if s["source"] == "manual"]
    work: list[str] = []
    kinds: list[str] = []

    def person(index: int, kind: str, _: Any) -> None:
        kinds.append(kind)
        if index != moment:
            return
        work.append(kind)
        bench.add(bench.box(0, 33), bench.pose(2))
        bench.add(bench.box(1, 34), source="auto")
        if kind != "delete":
            bench.edit(ours[0], points=[1.0, 1.0, 6.0, 6.0])
            bench.edit(theirs[0], points=[1.0, 1.0, 7.0, 7.0])
        bench.remove(ours[1])

    new = [bench.outcome(n, bench.box(n, 30)) for n in range(3)]
    report = bench.upload(
        *new, client=with_faults(person).client, run="run-2", existing=existing, max_shapes=2
    )
    if not work:
        assert moment >= len(kinds)
        return
    shapes = bench.annotations()["shapes"]
    by_id = {s["id"]: s for s in shapes}

    def holding(x: float, kind: str = "rectangle") -> list[Any]:
        return [s for s in shapes if s["type"] == kind and s["points"][:1] == [x]]

    # What was created meanwhile is there, unless `clear` read the job after that.
    early = moment == 0 and existing == "clear"
    assert len(holding(33.0)) == len(holding(34.0)) == (0 if early else 1)
    assert len([s for s in shapes if s["type"] == "skeleton"]) == (0 if early else 1)
    if work[0] != "delete" and not early:
        assert by_id[ours[0]["id"]]["points"] == [1.0, 1.0, 6.0, 6.0]
        assert by_id[theirs[0]["id"]]["points"] == [1.0, 1.0, 7.0, 7.0]
    assert ours[1]["id"] not in by_id  # what the person deleted stays deleted
    assert len(holding(30.0)) == 3
    assert report.failed == ()
    if existing != "clear":
        for shape in theirs[1:]:
            assert by_id[shape["id"]] == shape
    if existing == "keep":
        assert len(holding(1.0)) == 3 + (work[0] != "delete")
