"""The plan of one frame, with people and interruptions."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.record.ownership import ExistingObject, FrameHistory, ManifestItem
from cvat_flows.tasks.upload.frames.look import Look
from cvat_flows.tasks.upload.frames.plan import (
    Existing,
    find_created,
    find_duplicates,
    plan_cleanup,
    plan_frame,
    plan_undo,
)
from cvat_flows.tasks.upload.requests.recover import recover

digests = st.sampled_from(["sa", "sb", "sc", "sd", "ta", "tb"])
wishes = st.lists(digests, max_size=6)
modes = st.sampled_from(["keep", "replace", "clear"])


@st.composite
def frames(draw: st.DrawFn) -> tuple[list[ExistingObject], FrameHistory]:
    """Objects of a frame and its history, not necessarily consistent."""
    existing = [
        ExistingObject(id=n, digest=d) for n, d in enumerate(draw(st.lists(digests, max_size=8)))
    ]
    items = []
    for one in existing:
        fate = draw(st.sampled_from(["ours", "changed", "not ours", "adopted"]))
        if fate == "ours":
            items.append(ManifestItem(id=one.id, digest=one.digest, run="r1"))
        elif fate == "changed":
            items.append(ManifestItem(id=one.id, digest=one.digest[0] + "-before", run="r1"))
        elif fate == "adopted":
            items.append(ManifestItem(id=one.id, digest=one.digest, run=None))
    items += [ManifestItem(id=100 + n, digest=d, run="r1") for n, d in enumerate(draw(wishes))]
    history = FrameHistory(
        items=tuple(items),
        doubtful=tuple(draw(st.lists(digests, max_size=2))),
    )
    return existing, history


def counted(existing: list[ExistingObject]) -> Counter[str]:
    return Counter(one.digest for one in existing)


@given(frames(), wishes, modes)
def test_each_wanted_annotation_is_created_kept_or_withheld(
    frame: tuple[list[ExistingObject], FrameHistory], wanted: list[str], mode: Existing
) -> None:
    existing, history = frame
    plan = plan_frame(wanted, existing, history, mode)
    assert len(plan.create) + plan.kept + plan.withheld == len(wanted)
    assert len(set(plan.create)) == len(plan.create)
    there = {(p.id, p.digest) for p in existing}
    deleted = [(p.id, p.digest) for p in (*plan.delete, *plan.duplicates)]
    assert len(deleted) == len(set(deleted))
    assert set(deleted) <= there
    staying = {(i.id, i.digest) for i in plan.items}
    assert not staying & set(deleted)


@given(frames(), wishes)
def test_keep_deletes_only_duplicates(
    frame: tuple[list[ExistingObject], FrameHistory], wanted: list[str]
) -> None:
    existing, history = frame
    plan = plan_frame(wanted, existing, history, "keep")
    assert not plan.delete
    assert all(p.digest in history.doubtful for p in plan.duplicates)


@given(frames(), wishes)
def test_replace_deletes_only_unchanged_objects_of_ours(
    frame: tuple[list[ExistingObject], FrameHistory], wanted: list[str]
) -> None:
    existing, history = frame
    plan = plan_frame(wanted, existing, history, "replace")
    ours = {(i.id, i.digest) for i in history.items if i.run is not None}
    for one in plan.delete:
        assert (one.id, one.digest) in ours
    # All superseded objects of ours are deleted.
    left = Counter(wanted)
    for item in history.items:
        if item.run and ExistingObject(id=item.id, digest=item.digest) in existing:
            deleted = ExistingObject(id=item.id, digest=item.digest) in plan.delete
            assert deleted or left[item.digest] > 0
            left[item.digest] -= not deleted


@given(frames(), wishes)
def test_clear_leaves_exactly_the_wanted_annotations(
    frame: tuple[list[ExistingObject], FrameHistory], wanted: list[str]
) -> None:
    existing, history = frame
    plan = plan_frame(wanted, existing, history, "clear")
    left = counted(existing) - counted(list(plan.delete))
    assert left + Counter(wanted[i] for i in plan.create) == Counter(wanted)
    assert not plan.withheld


@given(frames(), wishes, modes, st.data())
def test_a_second_upload_does_nothing(
    frame: tuple[list[ExistingObject], FrameHistory],
    wanted: list[str],
    mode: Existing,
    data: st.DataObject,
) -> None:
    existing, history = frame
    plan = plan_frame(wanted, existing, history, mode)
    gone = {*plan.delete, *plan.duplicates}
    created = [ManifestItem(id=900 + i, digest=wanted[i], run="r2") for i in plan.create]
    after = [p for p in existing if p not in gone]
    after += [ExistingObject(id=i.id, digest=i.digest) for i in created]
    again = plan_frame(wanted, after, FrameHistory(items=(*plan.items, *created)), mode)
    assert (again.create, again.delete, again.duplicates) == ((), (), ())
    # The same holds without the manifest, unless people changed something.
    if not plan.withheld:
        assert plan_frame(wanted, after, FrameHistory(), "keep").create == ()


@given(frames(), wishes, modes, st.data())
def test_an_interruption_anywhere_leads_to_the_same_result(
    frame: tuple[list[ExistingObject], FrameHistory],
    wanted: list[str],
    mode: Existing,
    data: st.DataObject,
) -> None:
    """The run is killed after the first record, with any part of its requests done."""
    existing, history = frame
    plan = plan_frame(wanted, existing, history, mode)
    deleted = {*plan.delete, *plan.duplicates}
    whole = counted([p for p in existing if p not in deleted]) + Counter(
        wanted[i] for i in plan.create
    )
    landed = data.draw(st.booleans())
    intent = FrameRecord(
        state="pending",
        run=RunStamp(id="r2"),
        items=plan.items,
        deleting=plan.superseded,
        pending=tuple(wanted[i] for i in plan.create),
        request="q",
        doubtful=history.doubtful,
    )
    there = list(existing)
    if landed:
        there += [ExistingObject(id=900 + i, digest=wanted[i]) for i in plan.create]
        some = data.draw(st.sets(st.sampled_from(sorted(deleted, key=str)))) if deleted else set()
        there = [p for p in there if p not in some]
    recovery = recover({0: intent}, {0: there}, Look(at=1.0, run="r3", lifetime=0.0))
    again = plan_frame(wanted, there, recovery.changed.get(0, intent).history, mode)
    assert again.withheld <= plan.withheld
    deleted = {*again.delete, *again.duplicates}
    end = counted([p for p in there if p not in deleted]) + Counter(wanted[i] for i in again.create)
    assert end == whole


@given(frames())
def test_cleanup_changes_nothing_after_a_complete_upload(
    frame: tuple[list[ExistingObject], FrameHistory],
) -> None:
    existing, history = frame
    plan = plan_cleanup(existing, FrameHistory(items=history.items))
    assert not plan.create
    assert not plan.delete
    assert not plan.duplicates
    assert set(plan.items) == set(history.items)


@given(frames(), st.sampled_from([None, "r1", "r9"]))
def test_undo_deletes_unchanged_objects_of_the_run(
    frame: tuple[list[ExistingObject], FrameHistory], run: str | None
) -> None:
    existing, history = frame
    plan = plan_undo(existing, FrameHistory(items=history.items), run)
    expected = {
        (i.id, i.digest)
        for i in history.items
        if i.run is not None
        and run in (None, i.run)
        and ExistingObject(id=i.id, digest=i.digest) in existing
    }
    assert {(p.id, p.digest) for p in plan.delete} == expected
    assert {(i.id, i.digest) for i in plan.superseded} == expected


def test_an_object_that_a_person_made_equal_is_not_a_duplicate() -> None:
    """A person changed our object 2 from `sb` to `sa`, which equals our doubtful object 1."""
    existing = [
        ExistingObject(id=1, digest="sa"),
        ExistingObject(id=2, digest="sa"),
        ExistingObject(id=3, digest="sa"),
    ]
    items = (ManifestItem(id=1, digest="sa", run="r1"), ManifestItem(id=2, digest="sb", run="r1"))
    for mode in ("keep", "replace"):
        plan = plan_frame(["sa", "sb"], existing, FrameHistory(items=items, doubtful=("sa",)), mode)
        assert (plan.create, plan.withheld, plan.delete) == ((), 1, ())
        assert plan.duplicates == (ExistingObject(id=3, digest="sa"),)
    assert find_created(["sa"], existing[:2], items, "r2") == ([], [0])
    assert find_duplicates(existing, items, {"sa"}) == (ExistingObject(id=3, digest="sa"),)


def test_objects_that_people_deleted_or_moved_are_not_created_again() -> None:
    history = FrameHistory(
        items=(ManifestItem(id=1, digest="a", run="r1"), ManifestItem(id=2, digest="b", run="r1")),
    )
    moved = [ExistingObject(id=1, digest="a-moved")]
    for mode in ("keep", "replace"):
        plan = plan_frame(["a", "b", "c"], moved, history, mode)
        assert (plan.create, plan.withheld, plan.delete) == ((2,), 2, ())
    cleared = plan_frame(["a", "b", "c"], moved, history, "clear")
    assert cleared.create == (0, 1, 2)
    assert cleared.delete == tuple(moved)


def test_an_equal_object_counts_as_present_but_is_never_deleted() -> None:
    plan = plan_frame(["a"], [ExistingObject(id=7, digest="a")], FrameHistory(), "keep")
    assert (plan.create, plan.kept) == ((), 1)
    later = plan_frame(
        ["b"], [ExistingObject(id=7, digest="a")], FrameHistory(items=plan.items), "replace"
    )
    assert (later.create, later.delete) == ((0,), ())


@given(wishes, st.data())
def test_find_created_splits_what_was_sent(sent: list[str], data: st.DataObject) -> None:
    before = [ExistingObject(id=n, digest=d) for n, d in enumerate(data.draw(wishes))]
    items = [ManifestItem(id=p.id, digest=p.digest, run=None) for p in before]
    landed = data.draw(st.sets(st.sampled_from(range(len(sent))))) if sent else set()
    after = before + [ExistingObject(id=100 + i, digest=sent[i]) for i in sorted(landed)]
    found, missing = find_created(sent, after, items, "r")
    assert Counter(i.digest for i in found) == Counter(sent[i] for i in landed)
    assert Counter(sent[i] for i in missing) == Counter(sent) - Counter(sent[i] for i in landed)
    assert {i.id for i in found} == {100 + i for i in landed}


def test_duplicates_are_copies_with_doubtful_digests() -> None:
    existing = [ExistingObject(id=n, digest="a") for n in (4, 9, 12)] + [
        ExistingObject(id=5, digest="z")
    ]
    mine = [ManifestItem(id=9, digest="a", run="r")]
    extra = find_duplicates(existing, mine, {"a"})
    assert {p.id for p in extra} == {4, 12}
    assert find_duplicates(existing, mine, {"b"}) == ()
