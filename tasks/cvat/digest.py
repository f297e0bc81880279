"""Digest an annotation so that the sent object and the one read back from CVAT compare equal.

CVAT returns an object in another form: numbers become floats, omitted attributes get
their defaults, `group` and `elements` are filled in. The digest ignores these differences. It also
ignores ids, and the score, because some CVAT versions drop it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import combinations
from typing import Any

from cvat_flows.tasks.cvat.annotation_json import Kind
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.annotations import TAG

_STEPS_PER_UNIT = 100
"""Coordinates are rounded to hundredths of a pixel, and rotations to hundredths of a degree."""
_MAX_UNCLEAR = 4
"""Attributes of an annotation that are tried with and without a value of their own."""
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""`json.dumps` makes an encoder for each call."""
_OFFSET = 0.37
"""Shifts the rounding limits away from common values (halves, eighths, hundredths). Otherwise the
last bit of a float could decide how such a value is rounded."""


def digest(
    item: Mapping[str, Any], names: LabelNames, omitted: Collection[tuple[int, int]] = ()
) -> str:
    """Return the digest of a tag or shape that is sent to CVAT or read from it.

    It consists of `t` or `s`, because a tag and a shape may have the same id, and 24 hexadecimal
    digits.

    Labels and attributes count by their names. Attributes with the label's first default are
    ignored: CVAT fills them in, and a label may get new attributes later. Every other difference
    changes the digest: a position by a hundredth of a pixel, the label, an attribute, the group,
    the source.

    Args:
        item: The tag or shape, in CVAT's JSON.
        names: Names of the task's labels.
        omitted: Attributes (label id, attribute id) that CVAT has filled in.
    """
    facts = [
        item.get("type") or TAG,
        _label(item, names),
        item["frame"],
        item.get("source") or "manual",
        item.get("group") or 0,
        _attributes(item, names, omitted),
    ]
    if item.get("type"):
        facts += [
            _round_all(item.get("points") or ()),
            _round(item.get("rotation") or 0),
            bool(item.get("occluded")),
            bool(item.get("outside")),
            item.get("z_order") or 0,
            _sort(_element(e, names, omitted) for e in item.get("elements") or ()),
        ]
    text = _to_json(facts)
    kind = "s" if item.get("type") else "t"
    return kind + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def kind_of_digest(digest: str) -> Kind:
    """Return the kind of the object that has a digest."""
    return "tags" if digest[0] == "t" else "shapes"


def possible_digests(item: Mapping[str, Any], names: LabelNames) -> Iterator[str]:
    """Yield the digests that a tag or shape may have had when it was sent.

    There are several if the default of an attribute was edited: CVAT shows the new default for an
    attribute that was not sent, and for one that was sent with this value.
    """
    unclear = sorted({*_filled_in(item, names)})[:_MAX_UNCLEAR]
    for count in range(len(unclear), -1, -1):
        for omitted in combinations(unclear, count):
            yield digest(item, names, omitted)


def _filled_in(item: Mapping[str, Any], names: LabelNames) -> Iterator[tuple[int, int]]:
    """Yield the attributes that have an edited default as their value."""
    label = names.by_id.get(item["label_id"])
    for attribute in item.get("attributes") or ():
        name = label.attributes.get(attribute["spec_id"]) if label else None
        if name and name.default != name.first_default and name.default == str(attribute["value"]):
            yield item["label_id"], attribute["spec_id"]
    for element in item.get("elements") or ():
        yield from _filled_in(element, names)


def _label(item: Mapping[str, Any], names: LabelNames) -> Any:
    label = names.by_id.get(item["label_id"])
    return label.name if label else item["label_id"]


def _element(
    item: Mapping[str, Any], names: LabelNames, omitted: Collection[tuple[int, int]]
) -> list[Any]:
    """Return what a person can change about a keypoint. The rest belongs to its skeleton."""
    return [
        _label(item, names),
        item.get("type") or "",
        _round_all(item.get("points") or ()),
        bool(item.get("occluded")),
        bool(item.get("outside")),
        _attributes(item, names, omitted),
    ]


def _attributes(
    item: Mapping[str, Any], names: LabelNames, omitted: Collection[tuple[int, int]]
) -> list[list[str]]:
    given = item.get("attributes")
    if not given:
        return []
    label = names.by_id.get(item["label_id"])
    found = []
    for attribute in given:
        number, value = attribute["spec_id"], str(attribute["value"])
        name = label.attributes.get(number) if label else None
        if name is None:
            found.append([f"#{number}", value])
        elif value != name.first_default and (item["label_id"], number) not in omitted:
            found.append([name.name, value])
    return sorted(found)


def _sort(elements: Iterable[list[Any]]) -> list[list[Any]]:
    elements = list(elements)
    try:
        return sorted(elements)
    except TypeError:  # An element holds what is not a number.
        return sorted(elements, key=repr)


def _round_all(points: Collection[Any]) -> list[Any]:
    try:  # many times faster than a call for each number
        return [math.floor(value * _STEPS_PER_UNIT + _OFFSET) for value in points]
    except (TypeError, ValueError, OverflowError):
        return [_round(value) for value in points]


def _round(value: Any) -> Any:
    """Round a number. Anything else (NaN, null) stands for itself.

    CVAT stores no such value, but a job that has one must be readable: the object is not ours.
    """
    try:
        return math.floor(value * _STEPS_PER_UNIT + _OFFSET)
    except (TypeError, ValueError, OverflowError):
        return repr(value)
