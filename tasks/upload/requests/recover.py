"""Find out what became of create requests without a clear answer.

CVAT carries out a request completely or not at all. So if anything of a request is in the job, all
of it was created, and a person has removed or changed what is not there any more. If nothing is
there, the request was not carried out, or not yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from attrs import evolve, field, frozen

from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.record.ownership import (
    ExistingObject,
    FrameHistory,
    ManifestItem,
    find_owners,
)
from cvat_flows.tasks.upload.frames.look import Look

Candidates = Mapping[int, Mapping[str, Sequence[ExistingObject]]]
"""By frame and digest, the objects that a request may have created, oldest first."""


@frozen(kw_only=True)
class Traces:
    """What is left in the job of a request that was carried out."""

    items: Mapping[int, Sequence[ManifestItem]]
    """By frame, an item for each annotation of the request. Those that are gone have the id 0."""
    surplus: Mapping[int, Sequence[ExistingObject]]
    """By frame, unchanged objects of a second copy of the request, to be deleted."""


def find_traces(
    sent: Mapping[int, Sequence[str]],
    candidates: Candidates,
    run: str,
    *,
    known: Collection[tuple[int, str]] | None = None,
    sent_again: bool = False,
) -> Traces | None:
    """Return what is left of a request in the job, or None if nothing of it is there.

    If CVAT has carried out the request more than once, one copy is kept. What a person removed or
    changed in any copy is not kept.

    Args:
        sent: By frame, the digests of the annotations in the request.
        candidates: Objects of these frames with these digests.
        run: Id of the run that sent the request.
        known: Ids and digests of one copy, if an answer has named them. Then other objects are
            ignored, unless they are most of the request.
        sent_again: The request was sent more than once, so that half of it is a copy, too.
    """
    wanted = {frame: Counter(digests) for frame, digests in sent.items()}
    found = {
        (frame, digest): tuple(candidates.get(frame, {}).get(digest, ()))
        for frame, digests in wanted.items()
        for digest in digests
    }
    if not any(found.values()):
        return None
    copies = _count_copies(wanted, found, known, sent_again=sent_again)
    items: dict[int, list[ManifestItem]] = {frame: [] for frame in sent}
    surplus: dict[int, list[ExistingObject]] = {frame: [] for frame in sent}
    for (frame, digest), objects in found.items():
        count = wanted[frame][digest]
        gone = max(0, copies * count - len(objects))
        kept = max(0, count - gone)
        ids = [one.id for one in objects[:kept]] + [0] * (count - kept)
        items[frame] += [ManifestItem(id=i, digest=digest, run=run) for i in ids]
        surplus[frame] += objects[kept : None if known is None else copies * count]
    return Traces(items=items, surplus=surplus)


def _count_copies(
    wanted: Mapping[int, Counter[str]],
    found: Mapping[tuple[int, str], Sequence[ExistingObject]],
    known: Collection[tuple[int, str]] | None,
    *,
    sent_again: bool,
) -> int:
    """Return how often the request was carried out: a copy counts if most of it is there.

    Less than that may be equal annotations of somebody else. See `find_traces` for the arguments.
    """
    total = sum(digests.total() for digests in wanted.values())
    # With known objects, all the others are of second copies, whatever became of the first one.
    others = {
        (frame, digest): len(objects) - wanted[frame][digest]
        if known is None
        else sum((one.id, one.digest) not in known for one in objects)
        for (frame, digest), objects in found.items()
    }
    copies = 1
    while True:
        more = sum(
            min(max(count - (copies - 1) * wanted[frame][digest], 0), wanted[frame][digest])
            for (frame, digest), count in others.items()
        )
        if 2 * more < total or (2 * more == total and not sent_again):
            return copies
        copies += 1


def candidates_of(
    digests: Collection[str], existing: Sequence[ExistingObject], items: Sequence[ManifestItem]
) -> dict[str, list[ExistingObject]]:
    """Return, by digest, the frame's objects that are not among its known items, oldest first."""
    owners = find_owners(existing, FrameHistory(items=tuple(items)))
    return {digest: owners.possible_creations(digest)[::-1] for digest in set(digests)}


@frozen(kw_only=True)
class Recovery:
    """What became of the open requests of earlier runs."""

    changed: dict[int, FrameRecord] = field(factory=dict)
    """New records, by frame. What was created is among the items."""
    found: dict[int, int] = field(factory=dict)
    """By frame, how many annotations of its request are there."""
    given_up: dict[int, tuple[str, ...]] = field(factory=dict)
    """By frame, digests of requests that were not carried out in time, or more than once."""
    held: dict[int, float] = field(factory=dict)
    """Frames to which nothing may be sent yet, and until when: their request may still be carried
    out."""


def recover(
    records: Mapping[int, FrameRecord],
    existing: Mapping[int, Sequence[ExistingObject]],
    look: Look,
) -> Recovery:
    """Find out what became of the open requests in the records of a job.

    Args:
        records: All records of a manifest file: they contain each request completely.
        existing: The objects in the job, by frame.
        look: When and by whom the job was read.
    """
    requests: dict[str, dict[int, FrameRecord]] = {}
    for frame, record in records.items():
        if record.pending or record.request:
            requests.setdefault(record.request, {})[frame] = record
    recovery = Recovery()
    for frames in requests.values():
        if any(record.pending for record in frames.values()):
            _recover_request(frames, existing, look, recovery)
        else:
            _find_copies(frames, existing, recovery)
    return recovery


def _recover_request(
    frames: Mapping[int, FrameRecord],
    existing: Mapping[int, Sequence[ExistingObject]],
    look: Look,
    recovery: Recovery,
) -> None:
    candidates = {
        frame: candidates_of(
            record.pending, existing.get(frame, ()), (*record.items, *record.deleting)
        )
        for frame, record in frames.items()
    }
    sent = {frame: record.pending for frame, record in frames.items()}
    run = next(iter(frames.values())).run.id
    sent_again = all({*record.doubtful}.issuperset(record.pending) for record in frames.values())
    traces = find_traces(sent, candidates, run, sent_again=sent_again)
    until = max(look.until(record) for record in frames.values())
    for frame, record in frames.items():
        if traces is None and look.at < until:
            recovery.held[frame] = until
            recovery.changed[frame] = evolve(record, until=until)
            continue
        created = traces.items[frame] if traces else ()
        recovery.found[frame] = sum(item.id != 0 for item in created)
        twice = {one.digest for one in traces.surplus[frame]} if traces else set(record.pending)
        if twice:
            recovery.given_up[frame] = tuple(sorted(twice))
        recovery.changed[frame] = evolve(
            record,
            items=(*record.items, *created),
            pending=(),
            request="",
            until=None,
            doubtful=tuple(sorted({*record.doubtful, *twice})),
        )


def _find_copies(
    frames: Mapping[int, FrameRecord],
    existing: Mapping[int, Sequence[ExistingObject]],
    recovery: Recovery,
) -> None:
    """Find a second copy of a request that had an answer, if no look at the job followed it."""
    sent: dict[int, list[str]] = {}
    candidates: dict[int, dict[str, list[ExistingObject]]] = {}
    known: set[tuple[int, str]] = set()
    sent_again = True
    for frame, record in frames.items():
        objects = existing.get(frame, ())
        items = (*record.items, *record.deleting)
        own = [(item.id, item.digest) for item in record.items if item.run == record.run.id]
        sent[frame] = [digest for _, digest in own]
        known.update(own)
        sent_again = sent_again and {*record.doubtful}.issuperset(sent[frame])
        others = candidates_of(sent[frame], objects, items)
        there = [one for one in objects if (one.id, one.digest) in own]
        candidates[frame] = {
            digest: [*(one for one in there if one.digest == digest), *others[digest]]
            for digest in others
        }
        recovery.found[frame] = len(there)
    run = next(iter(frames.values())).run.id
    traces = find_traces(sent, candidates, run, known=known, sent_again=sent_again)
    for frame, record in frames.items():
        recovery.changed[frame] = evolve(record, request="")
        if traces and traces.surplus[frame]:
            twice = {one.digest for one in traces.surplus[frame]}
            recovery.given_up[frame] = tuple(sorted(twice))
            recovery.changed[frame] = evolve(
                record,
                items=(
                    *(item for item in record.items if item.run != record.run.id),
                    *traces.items[frame],
                ),
                request="",
                doubtful=tuple(sorted({*record.doubtful, *twice})),
            )
