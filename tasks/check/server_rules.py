"""What CVAT rejects, drops silently or cannot use, though the protocol allows it.

A request that holds one such shape is refused as a whole, so they are found before. Measured on
CVAT 2.54 unless another source is named (CVAT_FACTS 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from cvat_flows.tasks.matching.result import LabelMatch
from cvat_flows.tasks.model.annotations import TAG, Detection
from cvat_flows.tasks.model.labels import SKELETON

COUNTS: dict[str, tuple[int, int | None, bool]] = {
    "rectangle": (4, 4, True),
    "ellipse": (4, 4, True),
    # The server takes any number, its UI only draws eight corners (cvat-core, object-utils).
    "cuboid": (16, 16, True),
    "polygon": (6, None, True),
    "polyline": (4, None, True),
    "points": (2, None, True),
    # At least one run length, then the box.
    "mask": (5, None, False),
}
"""Fewest and most numbers, and whether they come in pairs."""
LARGEST = 2**31 - 1
"""The database's integers have 32 bits."""
MOST_PIXELS = 2**53
"""Up to here a float counts every pixel."""
LONGEST_VALUE = 4096
"""Characters of an attribute's value (cvat_sdk, AttributeValRequest)."""


def find_problem(detection: Detection, label: LabelMatch) -> str | None:
    """Why CVAT would not take a tag or shape that the protocol allows; None if it would."""
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
        or (None if type(shape.z_order) is int and shape.z_order == 0 else _z_problem(shape))
        or _flags_problem(shape)
    )


def _points_problem(kind: str, points: tuple[Any, ...]) -> str | None:
    least, most, pairs = COUNTS[kind]
    count = len(points)
    if count < least or (most is not None and count > most) or (pairs and count % 2):
        bound = f"{least}" if most == least else f"at least {least}"
        even = ", an even number" if pairs and most is None else ""
        return f"with {count} numbers in its points (expected {bound}{even})"
    if not set(map(type, points)) <= {float, int}:
        for point in points:
            if not _is_number(point):
                return f"with {point!r} in its points (expected numbers)"
    if not all(map(isfinite, points)):
        wrong = next(point for point in points if not isfinite(point))
        return f"with {wrong} in its points (expected finite numbers)"
    return _mask_problem(points) if kind == "mask" else None


def _mask_problem(points: Iterable[Any]) -> str | None:
    """Run lengths, gap first, then the box with inclusive corners (cvat_sdk/masks.py). CVAT does
    not compare the two, and what does not add up cannot be decoded by anybody."""
    numbers = np.array(points, dtype=np.float64)
    if (numbers != np.floor(numbers)).any():
        return "with a fraction in its points (expected run lengths and a box in whole pixels)"
    runs, (left, top, right, bottom) = numbers[:-4], numbers[-4:].tolist()
    if (runs < 0).any():
        return "with a negative run length"
    if right < left or bottom < top:
        return f"with an inverted box {_box(left, top, right, bottom)}"
    area = (right - left + 1) * (bottom - top + 1)
    if area > MOST_PIXELS:
        return f"with a box {_box(left, top, right, bottom)} of more than {MOST_PIXELS} pixels"
    total = runs.sum()
    if total != area:
        return (
            f"whose run lengths add up to {total:.0f} pixels, but its box"
            f" {_box(left, top, right, bottom)} has {area:.0f}"
        )
    return None


def _box(*corners: float) -> str:
    return "[" + ", ".join(f"{corner:.0f}" for corner in corners) + "]"


def _rotation_problem(rotation: Any) -> str | None:
    if _is_number(rotation) and 0 <= rotation <= 360:
        return None
    return f"with rotation {rotation!r} (expected 0 to 360 degrees)"


def _score_problem(score: Any) -> str | None:
    if score is None or (_is_number(score) and 0 <= score <= 1):
        return None
    return f"with score {score!r} (expected 0 to 1)"


def _group_problem(group: Any) -> str | None:
    if group is None or (type(group) is int and 0 <= group <= LARGEST):
        return None
    return f"with group {group!r} (expected an integer from 0 to {LARGEST})"


def _z_problem(shape: Detection) -> str | None:
    if type(shape.z_order) is int and -LARGEST <= shape.z_order <= LARGEST:
        return None
    return f"with z_order {shape.z_order!r} (expected an integer from {-LARGEST} to {LARGEST})"


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
        if len(text) > LONGEST_VALUE:
            return (
                f"with {len(text)} characters as the value of attribute {attribute.name!r}"
                f" (at most {LONGEST_VALUE})"
            )
        # The database's text holds no NUL, and neither it nor JSON holds half a surrogate pair.
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            return f"with text that CVAT cannot store as the value of attribute {attribute.name!r}"
    return None


def _is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))
