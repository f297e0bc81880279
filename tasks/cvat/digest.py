"""Digest an annotation so that the sent object and the one read back from CVAT compare equal.

CVAT returns an object in another form: numbers become floats, omitted attributes get
their defaults, `group` and `elements` are filled in. The digest ignores these differences. It also
ignores ids, and the score, because some CVAT versions drop it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from cvat_flows.tasks.model.annotations import TAG
from cvat_flows.tasks.model.labels import Label

AttributeDefaults = Mapping[int, Mapping[int, str]]
"""Default value by label or sublabel id, then by attribute id (`spec_id`)."""

_STEPS_PER_UNIT = 100
"""Coordinates are rounded to hundredths of a pixel, and rotations to hundredths of a degree."""
_OFFSET = 0.37
"""Shifts the rounding limits away from common values (halves, eighths, hundredths). Otherwise the
last bit of a float could decide how such a value is rounded."""


def attribute_defaults(labels: Iterable[Label]) -> dict[int, dict[int, str]]:
    """Collect the attribute defaults of labels and sublabels of CVAT."""
    defaults: dict[int, dict[int, str]] = {}
    for label in labels:
        defaults[label.id] = {attribute.id: attribute.default for attribute in label.attributes}
        defaults.update(attribute_defaults(label.sublabels))
    return defaults


def digest(item: Mapping[str, Any], defaults: AttributeDefaults) -> str:
    """Return the digest of a tag or shape that is sent to CVAT or read from it.

    It consists of `t` or `s`, because a tag and a shape may have the same id, and 24 hexadecimal
    digits.

    Attributes with the label's default value are ignored: CVAT fills them in, and a label may get
    new attributes later. Every other difference changes the digest: a position by a hundredth of a
    pixel, the label, an attribute, the group, the source.
    """
    facts = [
        item.get("type") or TAG,
        item["label_id"],
        item["frame"],
        item.get("source") or "manual",
        item.get("group") or 0,
        _attributes(item, defaults),
    ]
    if item.get("type"):
        facts += [
            _round_all(item.get("points") or ()),
            _round(item.get("rotation") or 0),
            bool(item.get("occluded")),
            bool(item.get("outside")),
            item.get("z_order") or 0,
            _sort(_element(element, defaults) for element in item.get("elements") or ()),
        ]
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    kind = "s" if item.get("type") else "t"
    return kind + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _element(item: Mapping[str, Any], defaults: AttributeDefaults) -> list[Any]:
    """Return what a person can change about a keypoint. The rest belongs to its skeleton."""
    return [
        item["label_id"],
        item.get("type") or "",
        _round_all(item.get("points") or ()),
        bool(item.get("occluded")),
        bool(item.get("outside")),
        _attributes(item, defaults),
    ]


def _attributes(item: Mapping[str, Any], defaults: AttributeDefaults) -> list[list[Any]]:
    of_label = defaults.get(item["label_id"], {})
    return sorted(
        [a["spec_id"], str(a["value"])]
        for a in item.get("attributes") or ()
        if of_label.get(a["spec_id"]) != str(a["value"])
    )


def _sort(elements: Iterable[list[Any]]) -> list[list[Any]]:
    elements = list(elements)
    try:
        return sorted(elements)
    except TypeError:  # An element holds what is not a number.
        return sorted(elements, key=repr)


def _round_all(points: Iterable[Any]) -> list[Any]:
    return [_round(value) for value in points]


def _round(value: Any) -> Any:
    """Round a number. Anything else (NaN, null) stands for itself.

    CVAT stores no such value, but a job that has one must be readable: the object is not ours.
    """
    try:
        return math.floor(value * _STEPS_PER_UNIT + _OFFSET)
    except (TypeError, ValueError, OverflowError):
        return repr(value)
