"""A digest of an annotation as CVAT keeps it: what was sent and what is read back compare equal.

CVAT returns an object otherwise than it took it (CVAT_FACTS 5): numbers as floats, attributes that
were left out with their defaults, `group` and `elements` filled in. The digest is of what is left
when all that, the object's ids and the score (which some versions drop) are put aside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from cvat_flows.tasks.model.annotations import TAG, Annotation

AttributeDefaults = Mapping[int, Mapping[int, str]]
"""Label or sublabel id -> attribute id (`spec_id`) -> default value."""

_STEPS = 100
"""Steps in a pixel, and in a degree: nobody moves a shape by less than a hundredth."""
_OFFSET = 0.37
"""Moves the borders between two steps off the values that detectors and people like (halves,
eighths, hundredths): there, the last bit of a float must not decide."""


def attribute_defaults(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[int, str]]:
    """Attribute defaults of labels and their sublabels, from the rows of `GET /api/labels`."""
    defaults: dict[int, dict[int, str]] = {}
    for row in rows:
        defaults[row["id"]] = {
            a["id"]: a.get("default_value") or "" for a in row.get("attributes") or ()
        }
        defaults.update(attribute_defaults(row.get("sublabels") or ()))
    return defaults


def body_of(annotation: Annotation) -> dict[str, Any]:
    """The annotation as the JSON object that CVAT's `create` takes.

    The score goes along if there is one: CVAT 2.54 ignores it (CVAT_FACTS 5), later ones keep it.
    """
    body: dict[str, Any] = {
        "label_id": annotation.label_id,
        "frame": annotation.frame,
        "source": annotation.source,
        "group": annotation.group,
        "attributes": [{"spec_id": i, "value": v} for i, v in annotation.attributes],
    }
    if annotation.score is not None:
        body["score"] = annotation.score
    if annotation.type == TAG:
        return body
    body |= {
        "type": annotation.type,
        "points": list(annotation.points),
        "rotation": annotation.rotation,
        "occluded": annotation.occluded,
        "outside": annotation.outside,
        "z_order": annotation.z_order,
    }
    if annotation.elements:
        body["elements"] = [body_of(element) for element in annotation.elements]
    return body


def digest(item: Mapping[str, Any], defaults: AttributeDefaults) -> str:
    """Digest of a tag or shape as it goes to CVAT or comes from it: its kind, `t` or `s` (tags and
    shapes may share an id), and 24 hexadecimal digits.

    An attribute that has its label's default value does not count, so that sent and filled-in
    defaults are equal and an attribute that the label gets later changes nothing. Any other
    difference counts: position by a hundredth of a pixel, label, attribute, group, source.
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
            _steps(item.get("points") or ()),
            _step(item.get("rotation") or 0),
            bool(item.get("occluded")),
            bool(item.get("outside")),
            item.get("z_order") or 0,
            sorted(_element(element, defaults) for element in item.get("elements") or ()),
        ]
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    kind = "s" if item.get("type") else "t"
    return kind + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _element(item: Mapping[str, Any], defaults: AttributeDefaults) -> list[Any]:
    """What a person can change about a keypoint; the rest is its skeleton's."""
    return [
        item["label_id"],
        item.get("type") or "",
        _steps(item.get("points") or ()),
        bool(item.get("occluded")),
        bool(item.get("outside")),
        _attributes(item, defaults),
    ]


def _attributes(item: Mapping[str, Any], defaults: AttributeDefaults) -> list[list[Any]]:
    usual = defaults.get(item["label_id"], {})
    return sorted(
        [a["spec_id"], str(a["value"])]
        for a in item.get("attributes") or ()
        if usual.get(a["spec_id"]) != str(a["value"])
    )


def _steps(points: Iterable[float]) -> list[int]:
    return [_step(value) for value in points]


def _step(value: float) -> int:
    return math.floor(value * _STEPS + _OFFSET)
