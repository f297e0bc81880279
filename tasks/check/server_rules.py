"""Find annotations that the protocol allows, but that CVAT rejects, silently drops or cannot use.

CVAT refuses a whole request because of one such shape, so they are found before the upload. The
rules were measured on CVAT 2.54 unless another source is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from numbers import Real
from typing import Any

from attrs import frozen

from cvat_flows.tasks.matching.result import LabelMatch
from cvat_flows.tasks.model.annotations import TAG, Detection
from cvat_flows.tasks.model.labels import SKELETON


@frozen
class PointsRule:
    """How many numbers the points of a shape type must have."""

    minimum: int
    maximum: int | None = None
    in_pairs: bool = True


POINTS_RULES = {
    "rectangle": PointsRule(4, 4),
    "ellipse": PointsRule(4, 4),
    # The server accepts any count, but its UI only draws eight corners (cvat-core, object-utils).
    "cuboid": PointsRule(16, 16),
    "polygon": PointsRule(6),
    "polyline": PointsRule(4),
    "points": PointsRule(2),
    # At least one run length, then the box.
    "mask": PointsRule(5, in_pairs=False),
}
MAX_INTEGER = 2**31 - 1
"""CVAT's database has 32-bit integers."""
MAX_MASK_PIXELS = 2**53
"""Floats count pixels exactly up to this number."""
MAX_VALUE_LENGTH = 4096
"""Maximum characters of an attribute's value (cvat_sdk, AttributeValRequest)."""


def find_problem(detection: Detection, label: LabelMatch) -> str | None:
    """Return why CVAT would not accept a tag or shape; None if it would."""
    problem = _attributes_problem(detection, label) if detection.attributes else None
    if problem is None and detection.type == TAG:
        problem = _group_problem(detection.group) or _score_problem(detection.score)
    elif problem is None:
        problem = _shape_problem(detection)
    if problem is not None:
        return f"function output {detection.type} {problem}"
    if detection.type == SKELETON:
        return _elements_problem(detection, label)
    return None


def _elements_problem(skeleton: Detection, label: LabelMatch) -> str | None:
    kept = 0
    for index, element in enumerate(skeleton.elements):
        sublabel = label.sublabels[element.label_id]
        if sublabel is None:
            continue
        kept += 1
        problem = _attributes_problem(element, sublabel) or _shape_problem(element)
        if problem is not None:
            return f"function output skeleton, element {index} ({sublabel.name!r}) {problem}"
    return None if kept else "function output skeleton without elements"


def _shape_problem(shape: Detection) -> str | None:
    return (
        (None if shape.type == SKELETON else _points_problem(shape.type, shape.points))
        or _rotation_problem(shape.rotation)
        or (None if shape.group is None else _group_problem(shape.group))
        or (None if shape.score is None else _score_problem(shape.score))
        or (None if type(shape.z_order) is int and shape.z_order == 0 else _z_order_problem(shape))
        or _flags_problem(shape)
    )


def _points_problem(kind: str, points: tuple[Any, ...]) -> str | None:
    rule = POINTS_RULES[kind]
    count = len(points)
    too_many = rule.maximum is not None and count > rule.maximum
    if count < rule.minimum or too_many or (rule.in_pairs and count % 2):
        bound = f"{rule.minimum}" if rule.maximum == rule.minimum else f"at least {rule.minimum}"
        even = ", an even number" if rule.in_pairs and rule.maximum is None else ""
        return f"with {count} numbers in its points (expected {bound}{even})"
    if not set(map(type, points)) <= {float, int}:
        for point in points:
            if not _is_number(point):
                return f"with {point!r} in its points (expected numbers)"
    if not all(map(isfinite, points)):
        infinite = next(point for point in points if not isfinite(point))
        return f"with {infinite} in its points (expected finite numbers)"
    return _mask_problem(points) if kind == "mask" else None


def _mask_problem(points: Iterable[Any]) -> str | None:
    """Check run lengths, gap first, against the box with inclusive corners (cvat_sdk/masks.py).

    CVAT does not compare them, and nothing can decode a mask in which they contradict each other.
    """
    import numpy as np  # masks only, see check.masks

    numbers = np.array(points, dtype=np.float64)
    if (numbers != np.floor(numbers)).any():
        return "with a fraction in its points (expected run lengths and a box in whole pixels)"
    runs, (left, top, right, bottom) = numbers[:-4], numbers[-4:].tolist()
    if (runs < 0).any():
        return "with a negative run length"
    box = f"box [{left:.0f}, {top:.0f}, {right:.0f}, {bottom:.0f}]"
    if right < left or bottom < top:
        return f"with an inverted {box}"
    area = (right - left + 1) * (bottom - top + 1)
    if area > MAX_MASK_PIXELS:
        return f"with a {box} of more than {MAX_MASK_PIXELS} pixels"
    total = runs.sum()
    if total != area:
        return f"whose run lengths add up to {total:.0f} pixels, but its {box} has {area:.0f}"
    return None


def _rotation_problem(rotation: Any) -> str | None:
    if _is_number(rotation) and 0 <= rotation <= 360:
        return None
    return f"with rotation {rotation!r} (expected 0 to 360 degrees)"


def _score_problem(score: Any) -> str | None:
    if score is None or (_is_number(score) and 0 <= score <= 1):
        return None
    return f"with score {score!r} (expected 0 to 1)"


def _group_problem(group: Any) -> str | None:
    if group is None or (type(group) is int and 0 <= group <= MAX_INTEGER):
        return None
    return f"with group {group!r} (expected an integer from 0 to {MAX_INTEGER})"


def _z_order_problem(shape: Detection) -> str | None:
    if type(shape.z_order) is int and -MAX_INTEGER <= shape.z_order <= MAX_INTEGER:
        return None
    bounds = f"{-MAX_INTEGER} to {MAX_INTEGER}"
    return f"with z_order {shape.z_order!r} (expected an integer from {bounds})"


def _flags_problem(shape: Detection) -> str | None:
    for name, value in (("occluded", shape.occluded), ("outside", shape.outside)):
        if value is not False and value is not True:
            return f"with {name} {value!r} (expected True or False)"
    return None


def _attributes_problem(detection: Detection, label: LabelMatch) -> str | None:
    for spec_id, value in detection.attributes:
        attribute = label.attributes[spec_id]
        text = None if attribute is None else attribute.map_value(str(value))
        if attribute is None or text is None:
            continue
        if len(text) > MAX_VALUE_LENGTH:
            return (
                f"with {len(text)} characters as the value of attribute {attribute.name!r}"
                f" (at most {MAX_VALUE_LENGTH})"
            )
        # The database cannot store NUL. Neither it nor JSON can hold half a surrogate pair.
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            return f"with text that CVAT cannot store as the value of attribute {attribute.name!r}"
    return None


def _is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))
