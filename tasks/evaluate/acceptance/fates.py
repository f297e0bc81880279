"""What people did with each annotation that was uploaded, and what they added.

The manifest knows the id and the digest of each. An annotation that is in CVAT with its digest was
kept. One that is there with another digest was changed; how, is known if the detection that was
uploaded is known. One that is not there was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from attrs import evolve, field, frozen

from cvat_flows.tasks.cvat.annotation_json import Kind, annotation_of_json
from cvat_flows.tasks.cvat.digest import possible_digests
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.evaluate.compare.likeness import ImageSizes, find_pairs
from cvat_flows.tasks.evaluate.compare.objects import COMPARED_TYPES, Floats, objects_of
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.record.manifest_file import FrameRecord

What = Literal["kept", "moved", "relabelled", "attributes", "unclear", "deleted", "added"]
SAME = 0.5
"""A person who moves an annotation so far that it is less like itself has drawn another one."""


@frozen(kw_only=True)
class Fate:
    """What became of an uploaded annotation, or an annotation that a person added.

    Attributes:
        what: `kept`; `moved` and `relabelled` (also by deleting it and drawing it again);
            `attributes`: changed, but neither its place nor its label; `unclear`: changed, but it
            is not known how; `deleted`; `added`: a person drew what the function did not find.
        frame: Frame number.
        label: Id of the label that was uploaded, or that a person chose if `what` is `added`. None
            if it is not known.
        new_label: Id of the label that it has now, if it was relabelled.
        when: When it was uploaded, ISO 8601; "" if a person added it.
        likeness: How much the moved annotation is like the uploaded one.
    """

    what: What
    frame: int
    label: int | None
    new_label: int | None = None
    when: str = ""
    likeness: float | None = None


Item = Mapping[str, Any]
"""A tag or shape in CVAT's JSON."""
Originals = Callable[[int], Mapping[str, Annotation]]
"""Returns what the function detects on a frame, by digest."""


@frozen(kw_only=True, eq=False)
class _Open:
    """A frame's objects that are not accounted for yet."""

    frame: int
    when: str
    lost: list[Annotation] = field(factory=list)
    """Uploaded and gone."""
    new: list[Annotation] = field(factory=list)
    """In CVAT, and not uploaded."""
    changed: list[tuple[Annotation, Annotation]] = field(factory=list)
    """Uploaded, and what it is now."""


def fates_of_job(
    records: Mapping[int, FrameRecord],
    objects: Iterable[tuple[Kind, Item]],
    *,
    names: LabelNames,
    originals: Originals,
    not_peoples: Collection[tuple[str, int]],
    sizes: ImageSizes,
) -> list[Fate]:
    """Return what became of the annotations of one function in one job.

    Args:
        records: What the manifest says about the frames of the job.
        objects: The tags and shapes that are in the job now.
        names: What digests call the labels.
        originals: Detections of the function, for the annotations that were changed or deleted.
        not_peoples: Kind (`t` or `s`) and id of objects that other functions uploaded.
        sizes: Width and height of the images by frame number.
    """
    ids = {name.name: number for number, name in names.by_id.items()}
    by_frame: dict[int, list[tuple[str, Item]]] = {}
    for kind, item in objects:
        by_frame.setdefault(item["frame"], []).append((kind[0], item))
    fates: list[Fate] = []
    open_frames = []
    for frame, record in records.items():
        if record.state != "annotated":
            continue
        there = [
            one for one in by_frame.get(frame, ()) if (one[0], one[1]["id"]) not in not_peoples
        ]
        rest = _settle(frame, record, there, names, ids, originals, fates)
        open_frames.append(rest)
    fates += _compare(open_frames, sizes)
    return fates


def _settle(
    frame: int,
    record: FrameRecord,
    there: Sequence[tuple[str, Item]],
    names: LabelNames,
    ids: Mapping[str, int],
    originals: Originals,
    fates: list[Fate],
) -> _Open:
    """Add the fates that ids and digests tell. Return what must be compared.

    `ids` are the label ids of the names in records.
    """
    groups = dict(record.groups)
    unclaimed = {(kind, item["id"]): item for kind, item in there}
    digests = {key: set(_digests(item, groups, names)) for key, item in unclaimed.items()}
    rest = _Open(frame=frame, when=record.when)
    gone = []
    for uploaded in record.items:
        if uploaded.run is None:  # It was there before, and equal.
            unclaimed.pop((uploaded.digest[0], uploaded.id), None)
            continue
        key = (uploaded.digest[0], uploaded.id)
        item = unclaimed.get(key)
        if item is None:
            gone.append(uploaded)
        elif uploaded.digest in digests[key]:
            del unclaimed[key]
            fates.append(_fate("kept", rest, item["label_id"]))
        else:
            del unclaimed[key]
            known = originals(frame).get(uploaded.digest)
            now = annotation_of_json(item)
            if known is None or now.type not in COMPARED_TYPES:
                fates.append(_of_label(rest, ids.get(uploaded.label or ""), item["label_id"]))
            else:
                rest.changed.append((known, now))
    for lost in gone:
        # An import of annotations gives equal ones new ids.
        equal = next((key for key in unclaimed if lost.digest in digests[key]), None)
        known = originals(frame).get(lost.digest)
        if equal is not None:
            fates.append(_fate("kept", rest, unclaimed.pop(equal)["label_id"]))
        elif known is None:
            fates.append(_fate("deleted", rest, ids.get(lost.label or "")))
        else:
            rest.lost.append(known)
    rest.new.extend(map(annotation_of_json, unclaimed.values()))
    return rest


def _digests(item: Item, groups: Mapping[int, int], names: LabelNames) -> Iterator[str]:
    number = item.get("group")
    if number:  # Digests have the number that the function gave the group.
        item = {**item, "group": groups.get(number, f"#{number}")}
    return possible_digests(item, names)


def _compare(open_frames: Sequence[_Open], sizes: ImageSizes) -> Iterator[Fate]:
    """Yield the fates of annotations that were changed, or deleted and drawn again."""
    changed = [(frame, *pair) for frame in open_frames for pair in frame.changed]
    likeness = _likeness([one for _, one, _ in changed], [now for *_, now in changed], sizes)
    for (frame, one, now), alike in zip(changed, likeness.tolist(), strict=True):
        yield from _of_pair(frame, one, now, alike)
    for frame in open_frames:
        yield from _of_redrawn(frame, sizes)


def _likeness(
    before: Sequence[Annotation], after: Sequence[Annotation], sizes: ImageSizes
) -> Floats:
    """Return how much each annotation is like the one at the same place of the other list."""
    places = np.arange(len(before))
    one, other = objects_of(before), objects_of(after)
    order = np.argsort([shape.frame for shape in before], kind="stable").astype(np.int64)
    # Each pair gets a frame of its own, so that nothing else is compared with it.
    pairs = find_pairs(evolve(one, frame=places), evolve(other, frame=places), sizes)
    likeness = np.zeros(len(before))
    likeness[order[pairs.found]] = pairs.likeness
    return likeness


def _of_pair(frame: _Open, one: Annotation, now: Annotation, alike: float) -> Iterator[Fate]:
    if alike < SAME and now.type == one.type:
        yield _fate("deleted", frame, one.label_id)
        yield Fate(what="added", frame=frame.frame, label=now.label_id)
    elif one.label_id != now.label_id:
        yield evolve(_fate("relabelled", frame, one.label_id), new_label=now.label_id)
    elif _place(one) == _place(now):
        yield _fate("attributes", frame, one.label_id)
    else:
        yield evolve(_fate("moved", frame, one.label_id), likeness=alike)


def _of_redrawn(frame: _Open, sizes: ImageSizes) -> Iterator[Fate]:
    """Pair what is gone with what is new, the most similar first."""
    lost = [one for one in frame.lost if one.type in COMPARED_TYPES]
    new = [one for one in frame.new if one.type in COMPARED_TYPES]
    taken_lost, taken_new = set(), set()
    if lost and new:
        pairs = find_pairs(objects_of(lost), objects_of(new), sizes)
        for n in np.argsort(-pairs.likeness, kind="stable").tolist():
            a, b = int(pairs.found[n]), int(pairs.true[n])
            if pairs.likeness[n] >= SAME and a not in taken_lost and b not in taken_new:
                taken_lost.add(a)
                taken_new.add(b)
                yield from _of_pair(frame, lost[a], new[b], float(pairs.likeness[n]))
    for n, one in enumerate(lost):
        if n not in taken_lost:
            yield _fate("deleted", frame, one.label_id)
    for one in frame.lost:
        if one.type not in COMPARED_TYPES:
            yield _fate("deleted", frame, one.label_id)
    for n, one in enumerate(new):
        if n not in taken_new:
            yield Fate(what="added", frame=frame.frame, label=one.label_id)
    for one in frame.new:
        if one.type not in COMPARED_TYPES:
            yield Fate(what="added", frame=frame.frame, label=one.label_id)


def _of_label(frame: _Open, before: int | None, now: int) -> Fate:
    """Return the fate of a changed annotation of which only the label is known, or nothing."""
    if before is None or before == now:
        return _fate("unclear", frame, now)
    return evolve(_fate("relabelled", frame, before), new_label=now)


def _place(shape: Annotation) -> Any:
    """Return where a shape is, to a hundredth of a pixel."""
    points = [round(value, 2) for value in shape.points]
    elements = sorted(str((one.label_id, *_place(one)[0])) for one in shape.elements)
    return points, round(shape.rotation, 2), elements


def _fate(what: What, frame: _Open, label: int | None) -> Fate:
    return Fate(what=what, frame=frame.frame, label=label, when=frame.when)
