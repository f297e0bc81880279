"""The plan of one frame against a model of CVAT, people and interruptions."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.upload.plan import (
    Existing,
    Item,
    Known,
    Present,
    plan_frame,
    plan_undo,
    reconcile,
    settle_frame,
    surplus_of,
)

digests = st.sampled_from(["sa", "sb", "sc", "sd", "ta", "tb"])
wishes = st.lists(digests, max_size=6)
modes = st.sampled_from(["keep", "replace", "clear"])


@st.composite
def frames(draw: st.DrawFn) -> tuple[list[Present], Known]:
    """A frame's objects and its record, consistent or not."""
    present = [Present(id=n, digest=d) for n, d in enumerate(draw(st.lists(digests, max_size=8)))]
    items = []
    for one in present:
        fate = draw(st.sampled_from(["ours", "changed", "not ours", "adopted"]))
        if fate == "ours":
            items.append(Item(id=one.id, digest=one.digest, run="r1"))
        elif fate == "changed":
            items.append(Item(id=one.id, digest=one.digest[0] + "-before", run="r1"))
        elif fate == "adopted":
            items.append(Item(id=one.id, digest=one.digest, run=None))
    items += [Item(id=100 + n, digest=d, run="r1") for n, d in enumerate(draw(wishes))]
    known = Known(
        items=tuple(items),
        pending=tuple(draw(st.lists(digests, max_size=3))),
        pending_run="r1",
        unsure=tuple(draw(st.lists(digests, max_size=2))),
    )
    return present, known


def counted(present: list[Present]) -> Counter[str]:
    return Counter(one.digest for one in present)


@given(frames(), wishes, modes)
def test_each_wish_is_created_kept_or_withheld(
    frame: tuple[list[Present], Known], wanted: list[str], mode: Existing
) -> None:
    present, known = frame
    plan = plan_frame(wanted, present, known, mode)
    assert len(plan.create) + plan.kept + plan.withheld == len(wanted)
    assert len(set(plan.create)) == len(plan.create)
    there = {(p.id, p.digest) for p in present}
    doomed = [(p.id, p.digest) for p in (*plan.delete, *plan.surplus)]
    assert len(doomed) == len(set(doomed))
    assert set(doomed) <= there
    staying = {(i.id, i.digest) for i in plan.items}
    assert not staying & set(doomed)


@given(frames(), wishes)
def test_keep_deletes_nothing_but_copies(
    frame: tuple[list[Present], Known], wanted: list[str]
) -> None:
    present, known = frame
    plan = plan_frame(wanted, present, known, "keep")
    assert not plan.delete
    assert all(p.digest in {*known.pending, *known.unsure} for p in plan.surplus)


@given(frames(), wishes)
def test_replace_deletes_only_what_is_proven_ours_and_unchanged(
    frame: tuple[list[Present], Known], wanted: list[str]
) -> None:
    present, known = frame
    plan = plan_frame(wanted, present, known, "replace")
    ours = {(i.id, i.digest) for i in known.items if i.run is not None}
    for one in plan.delete:
        assert (one.id, one.digest) in ours or one.digest in known.pending
    # and leaves no superseded object of ours behind
    left = Counter(wanted)
    for item in known.items:
        if item.run and Present(id=item.id, digest=item.digest) in present:
            deleted = Present(id=item.id, digest=item.digest) in plan.delete
            assert deleted or left[item.digest] > 0
            left[item.digest] -= not deleted


@given(frames(), wishes)
def test_clear_leaves_exactly_what_is_wanted(
    frame: tuple[list[Present], Known], wanted: list[str]
) -> None:
    present, known = frame
    plan = plan_frame(wanted, present, known, "clear")
    left = counted(present) - counted(list(plan.delete))
    assert left + Counter(wanted[i] for i in plan.create) == Counter(wanted)
    assert not plan.withheld


@given(frames(), wishes, modes, st.data())
def test_a_second_upload_does_nothing(
    frame: tuple[list[Present], Known], wanted: list[str], mode: Existing, data: st.DataObject
) -> None:
    present, known = frame
    plan = plan_frame(wanted, present, known, mode)
    gone = {*plan.delete, *plan.surplus}
    created = [Item(id=900 + i, digest=wanted[i], run="r2") for i in plan.create]
    after = [p for p in present if p not in gone]
    after += [Present(id=i.id, digest=i.digest) for i in created]
    again = plan_frame(wanted, after, Known(items=(*plan.items, *created)), mode)
    assert (again.create, again.delete, again.surplus) == ((), (), ())
    # nor does one by a run that has lost the manifest, unless people undid some of it
    if not plan.withheld:
        assert plan_frame(wanted, after, Known(), "keep").create == ()


@given(frames(), wishes, modes, st.data())
def test_an_interruption_anywhere_leads_to_the_same_end(
    frame: tuple[list[Present], Known], wanted: list[str], mode: Existing, data: st.DataObject
) -> None:
    """Killed after the intent was written, with any part of the creates and deletes done."""
    present, known = frame
    plan = plan_frame(wanted, present, known, mode)
    doomed = {*plan.delete, *plan.surplus}
    whole = counted([p for p in present if p not in doomed]) + Counter(
        wanted[i] for i in plan.create
    )
    landed = data.draw(st.booleans())
    intent = Known(
        items=plan.items,
        doomed=plan.superseded,
        pending=tuple(wanted[i] for i in plan.create),
        pending_run="r2",
        unsure=known.unsure + known.pending,
    )
    there = list(present)
    if landed:
        there += [Present(id=900 + i, digest=wanted[i]) for i in plan.create]
        some = data.draw(st.sets(st.sampled_from(sorted(doomed, key=str)))) if doomed else set()
        there = [p for p in there if p not in some]
    again = plan_frame(wanted, there, intent, mode)
    assert again.withheld <= plan.withheld
    doomed = {*again.delete, *again.surplus}
    end = counted([p for p in there if p not in doomed]) + Counter(wanted[i] for i in again.create)
    assert end == whole


@given(frames())
def test_settling_leaves_finished_work_alone(frame: tuple[list[Present], Known]) -> None:
    present, known = frame
    plan = settle_frame(present, Known(items=known.items))
    assert not plan.create
    assert not plan.delete
    assert not plan.surplus
    assert set(plan.items) == set(known.items)


def test_settling_is_all_or_nothing() -> None:
    known = Known(pending=("a", "b"), pending_run="r1")
    whole = settle_frame([Present(id=1, digest="a"), Present(id=2, digest="b")], known)
    assert (len(whole.items), whole.surplus) == (2, ())
    half = settle_frame([Present(id=1, digest="a"), Present(id=3, digest="z")], known)
    assert (half.items, half.surplus) == ((), (Present(id=1, digest="a"),))


@given(frames(), st.sampled_from([None, "r1", "r9"]))
def test_undo_takes_what_the_run_created_and_nobody_changed(
    frame: tuple[list[Present], Known], run: str | None
) -> None:
    present, known = frame
    plan = plan_undo(present, Known(items=known.items), run)
    expected = {
        (i.id, i.digest)
        for i in known.items
        if i.run is not None
        and run in (None, i.run)
        and Present(id=i.id, digest=i.digest) in present
    }
    assert {(p.id, p.digest) for p in plan.delete} == expected
    assert {(i.id, i.digest) for i in plan.superseded} == expected


def test_what_a_person_made_equal_to_ours_is_no_copy() -> None:
    """Our 2 was `sb`; a person has made it `sa`, like our 1, of which a request went unanswered."""
    present = [Present(id=1, digest="sa"), Present(id=2, digest="sa"), Present(id=3, digest="sa")]
    items = (Item(id=1, digest="sa", run="r1"), Item(id=2, digest="sb", run="r1"))
    for existing in ("keep", "replace"):
        plan = plan_frame(["sa", "sb"], present, Known(items=items, unsure=("sa",)), existing)
        assert (plan.create, plan.withheld, plan.delete) == ((), 1, ())
        assert plan.surplus == (Present(id=3, digest="sa"),)
    pending = Known(items=items, pending=("sa",), pending_run="r2")
    assert {i.id for i in settle_frame(present[:2], pending).items} == {1, 2}
    assert reconcile(["sa"], present[:2], items, "r2") == ([], [0])
    assert surplus_of(present, items, {"sa"}) == (Present(id=3, digest="sa"),)


def test_what_a_person_deleted_or_moved_is_not_put_back() -> None:
    known = Known(
        items=(Item(id=1, digest="a", run="r1"), Item(id=2, digest="b", run="r1")),
    )
    moved = [Present(id=1, digest="a-moved")]
    for mode in ("keep", "replace"):
        plan = plan_frame(["a", "b", "c"], moved, known, mode)
        assert (plan.create, plan.withheld, plan.delete) == ((2,), 2, ())
    cleared = plan_frame(["a", "b", "c"], moved, known, "clear")
    assert cleared.create == (0, 1, 2)
    assert cleared.delete == tuple(moved)


def test_an_equal_object_of_unknown_origin_is_taken_for_there_but_never_deleted() -> None:
    plan = plan_frame(["a"], [Present(id=7, digest="a")], Known(), "keep")
    assert (plan.create, plan.kept) == ((), 1)
    later = plan_frame(["b"], [Present(id=7, digest="a")], Known(items=plan.items), "replace")
    assert (later.create, later.delete) == ((0,), ())


@given(wishes, st.data())
def test_reconcile_splits_what_was_sent(sent: list[str], data: st.DataObject) -> None:
    before = [Present(id=n, digest=d) for n, d in enumerate(data.draw(wishes))]
    items = [Item(id=p.id, digest=p.digest, run=None) for p in before]
    landed = data.draw(st.sets(st.sampled_from(range(len(sent))))) if sent else set()
    after = before + [Present(id=100 + i, digest=sent[i]) for i in sorted(landed)]
    found, missing = reconcile(sent, after, items, "r")
    assert Counter(i.digest for i in found) == Counter(sent[i] for i in landed)
    assert Counter(sent[i] for i in missing) == Counter(sent) - Counter(sent[i] for i in landed)
    assert {i.id for i in found} == {100 + i for i in landed}


def test_surplus_is_what_an_unanswered_request_left_too_much() -> None:
    present = [Present(id=n, digest="a") for n in (4, 9, 12)] + [Present(id=5, digest="z")]
    mine = [Item(id=9, digest="a", run="r")]
    extra = surplus_of(present, mine, {"a"})
    assert {p.id for p in extra} == {4, 12}
    assert surplus_of(present, mine, {"b"}) == ()
