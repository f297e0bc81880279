"""What became of a request, decided from what is in the job."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.record.ownership import ExistingObject, ManifestItem
from cvat_flows.tasks.upload.frames.look import Look
from cvat_flows.tasks.upload.requests.recover import Recovery, recover

NOW = 1000.0
LIFETIME = 60.0


def pending(*digests: str, request: str = "q", until: float | None = None) -> FrameRecord:
    return FrameRecord(
        state="pending",
        run=RunStamp(id="r1"),
        pending=digests,
        request=request,
        until=until,
    )


def objects(*digests: str, first: int = 1) -> list[ExistingObject]:
    return [ExistingObject(id=first + n, digest=digest) for n, digest in enumerate(digests)]


def look(
    records: dict[int, FrameRecord],
    existing: dict[int, list[ExistingObject]],
    at: float = NOW,
    **of_look: Any,
) -> Recovery:
    return recover(
        records, existing, Look(**{"at": at, "run": "r2", "lifetime": LIFETIME, **of_look})
    )


def ids(record: FrameRecord) -> list[tuple[str, int]]:
    return sorted((item.digest, item.id) for item in record.items)


def test_what_is_missing_of_a_request_was_removed_by_a_person() -> None:
    """The only trace of the request is on another frame than the one that a person emptied."""
    records = {0: pending("sa", "ta"), 1: pending("sb"), 2: pending("sz", request="other")}
    recovery = look(records, {1: objects("sb", first=7)})
    assert ids(recovery.changed[0]) == [("sa", 0), ("ta", 0)]
    assert ids(recovery.changed[1]) == [("sb", 7)]
    for frame in (0, 1):
        assert recovery.changed[frame].pending == recovery.changed[frame].doubtful == ()
    assert set(recovery.held) == {2}


@pytest.mark.parametrize(
    ("until", "at", "held"),
    [
        # The run was killed: nobody knows when its last request ended.
        (None, NOW, NOW + LIFETIME),
        (NOW + 1, NOW, NOW + 1),
        (NOW + 3600, NOW, NOW + LIFETIME),  # the clock was set back by an hour
        (NOW, NOW, None),
        (NOW - 1, NOW, None),
    ],
)
def test_a_request_without_a_trace_is_sent_again_when_it_can_come_no_more(
    until: float | None, at: float, held: float | None
) -> None:
    recovery = look({0: pending("sa", until=until)}, {}, at)
    assert recovery.held == ({} if held is None else {0: held})
    record = recovery.changed[0]
    if held is None:
        assert (record.pending, record.doubtful) == ((), ("sa",))
        assert recovery.given_up == {0: ("sa",)}
    else:
        assert (record.pending, record.until, record.doubtful) == (("sa",), held, ())


@pytest.mark.parametrize(
    ("run", "quiet_since", "held"),
    [
        ("r2", NOW - LIFETIME, None),
        ("r2", NOW - 1, NOW - 1 + LIFETIME),
        ("r2", NOW + 5, NOW + LIFETIME),  # the clocks differ a little
        # The same run: it was interrupted itself, and has the lease for long.
        ("r1", NOW - LIFETIME, NOW + LIFETIME),
    ],
)
def test_a_killed_run_sent_nothing_after_its_lease_had_ended(
    run: str, quiet_since: float, held: float | None
) -> None:
    recovery = look({0: pending("sa")}, {}, run=run, quiet_since=quiet_since)
    assert recovery.held == ({} if held is None else {0: held})


def test_known_items_are_no_trace() -> None:
    """People's and our earlier objects that equal a wanted one are among the items."""
    earlier = ManifestItem(id=1, digest="sa", run="r0")
    record = FrameRecord(
        state="pending", run=RunStamp(id="r1"), pending=("sa",), request="q", items=(earlier,)
    )
    assert look({0: record}, {0: objects("sa")}).held
    found = look({0: record}, {0: objects("sa", "sa")}).changed[0]
    assert ids(found) == [("sa", 1), ("sa", 2)]


def test_one_of_two_copies_is_kept() -> None:
    records = {0: pending("sa", "sa", "sb"), 1: pending("sc")}
    existing = {
        0: objects("sa", "sa", "sb", first=1) + objects("sa", "sa", "sb", first=11),
        1: objects("sc", first=4) + objects("sc", first=14),
    }
    recovery = look(records, existing)
    assert ids(recovery.changed[0]) == [("sa", 1), ("sa", 2), ("sb", 3)]
    assert ids(recovery.changed[1]) == [("sc", 4)]
    assert recovery.given_up == {0: ("sa", "sb"), 1: ("sc",)}


@given(
    st.lists(st.sampled_from(["sa", "sb", "sc", "ta"]), min_size=3, max_size=8),
    st.integers(1, 3),
    st.data(),
)
def test_what_a_person_touched_in_any_copy_is_not_kept(
    sent: list[str], copies: int, data: st.DataObject
) -> None:
    """A person touches a few objects, in whichever copies. Each other annotation is kept once."""
    touched = data.draw(
        st.sets(
            st.tuples(st.integers(0, copies - 1), st.integers(0, len(sent) - 1)),
            max_size=(len(sent) - 1) // 2,
        )
    )
    there = [
        ExistingObject(id=1 + copy * len(sent) + n, digest=digest)
        for copy in range(copies)
        for n, digest in enumerate(sent)
        if (copy, n) not in touched
    ]
    record = look({0: pending(*sent)}, {0: there}).changed[0]
    gone = Counter(sent[n] for _, n in touched)
    assert Counter(i.digest for i in record.items) == Counter(sent)
    assert Counter(i.digest for i in record.items if i.id) == Counter(sent) - gone
    kept = {i.id for i in record.items if i.id}
    assert kept <= {one.id for one in there}
    # The rest is named as doubtful, so that the next upload of the frame deletes it.
    assert {one.digest for one in there if one.id not in kept} == set(record.doubtful)


def test_a_few_equal_objects_are_no_second_copy() -> None:
    """What is there once is not deleted because something else is there twice."""
    recovery = look({0: pending("sa", "sb", "sc")}, {0: objects("sa", "sb", "sc", "sa")})
    assert ids(recovery.changed[0]) == [("sa", 1), ("sb", 2), ("sc", 3)]
    assert recovery.given_up == {0: ("sa",)}


def answered(*ids_and_digests: tuple[int, str], doubtful: tuple[str, ...] = ()) -> FrameRecord:
    """A frame whose request had an answer that named these objects."""
    items = [ManifestItem(id=i, digest=digest, run="r1") for i, digest in ids_and_digests]
    return FrameRecord(
        state="pending",
        run=RunStamp(id="r1"),
        request="q",
        items=tuple(items),
        doubtful=doubtful,
    )


def test_a_copy_is_counted_without_the_objects_of_the_answer() -> None:
    """A person removed ta from the late copy, and sa from the other one. Both copies count."""
    record = answered((11, "sa"), (12, "sb"), (13, "ta"))
    existing = objects("sa", "sb", first=1) + objects("sb", "ta", first=12)
    changed = look({0: record}, {0: existing}).changed[0]
    assert {i.digest: i.id for i in changed.items} == {"sa": 0, "sb": 12, "ta": 0}
    assert set(changed.doubtful) == {"sa", "sb", "ta"}
    # One object that the answer does not name is not most of a second copy.
    existing = objects("sa", first=1) + objects("sb", "ta", first=12)
    assert look({0: record}, {0: existing}).changed[0].items == record.items


@pytest.mark.parametrize("sent_again", [False, True])
def test_half_of_a_request_that_was_sent_again_is_a_copy(*, sent_again: bool) -> None:
    """A person removed sb from the copy that came late. It is not kept in the other one."""
    doubtful = ("sa", "sb") if sent_again else ()
    existing = {0: objects("sa", first=1) + objects("sa", "sb", first=11)}
    named = answered((11, "sa"), (12, "sb"), doubtful=doubtful)
    ids_of_named = {i.digest: i.id for i in look({0: named}, existing).changed[0].items}
    assert ids_of_named == {"sa": 11, "sb": 0 if sent_again else 12}
    unanswered = evolve(pending("sa", "sb"), doubtful=doubtful)
    of_unanswered = {i.digest: i.id for i in look({0: unanswered}, existing).changed[0].items}
    assert of_unanswered == {"sa": 1, "sb": 0 if sent_again else 12}
