"""Check the rules of the AA-function protocol for a function's output.

The rules, their order and their messages are those of cvat-sdk 2.80 (`auto_annotation/driver.py`,
`_AnnotationMapper.validate_and_remap` and the functions that it calls).
"""

from __future__ import annotations

from typing import Any

from cvat_sdk import models

from cvat_flows.tasks.check.errors import BadOutputError
from cvat_flows.tasks.matching.result import AttributeMatch, LabelMatch, SpecMatch
from cvat_flows.tasks.model.annotations import TAG, Detection
from cvat_flows.tasks.model.labels import ANY, SKELETON

SHAPE_TYPES = frozenset(models.ShapeType.allowed_values[("value",)].values())


def check_detection(
    detection: Detection, match: SpecMatch, *, allow_missing_keypoints: bool = False
) -> LabelMatch | None:
    """Check one tag or shape, and return what its label maps to; None if it is dropped.

    As in the SDK, a dropped annotation is not checked further. With `allow_missing_keypoints` a
    skeleton may lack some of the task's keypoints, but not all.

    Raises BadOutputError if a rule is broken.
    """
    kind = "tag" if detection.type == TAG else "shape"
    if kind == "shape" and detection.type not in SHAPE_TYPES:
        raise BadOutputError(
            f"function output an object of type {detection.type!r}"
            " (expected 'LabeledImageRequest' or 'LabeledShapeRequest')"
        )
    _check_preset(detection, kind)
    try:
        label = match.labels[detection.label_id]
    except (KeyError, TypeError):
        raise BadOutputError(
            f"function output {kind} with unknown label ID ({detection.label_id})"
        ) from None
    if label is None:
        return None
    if detection.attributes:
        _check_attributes(detection, label)
    expected = label.expected_type
    if kind == "tag":
        if expected not in (ANY, TAG):
            raise BadOutputError(f"function output tag (expected shape of type {expected!r})")
        return label
    if expected not in (ANY, detection.type):
        raise BadOutputError(
            f"function output shape of type {detection.type!r} (expected {expected!r})"
        )
    if detection.type == "mask" and match.conv_mask_to_poly:
        raise BadOutputError("function output mask shape despite conv_mask_to_poly=True")
    if detection.type == SKELETON:
        _check_elements(detection, label, allow_missing_keypoints)
    elif detection.elements:
        raise BadOutputError("function output non-skeleton shape with elements")
    return label


def _check_preset(detection: Detection, kind: str) -> None:
    """Check that the function left `id`, `source` and the frame number to the driver."""
    if detection.preset:
        raise BadOutputError(f"function output {kind} with preset {detection.preset[0]}")
    if detection.frame != 0:
        raise BadOutputError(
            f"function output {kind} with unexpected frame number ({detection.frame})"
        )


def _check_elements(skeleton: Detection, label: LabelMatch, allow_missing: bool) -> None:
    seen: set[int] = set()
    for element in skeleton.elements:
        _check_preset(element, "shape element")
        if element.type != "points":
            raise BadOutputError(
                f"function output skeleton with element type other than 'points' ({element.type})"
            )
        try:
            sublabel = label.sublabels[element.label_id]
        except (KeyError, TypeError):
            raise BadOutputError(
                f"function output shape with unknown sublabel ID ({element.label_id})"
            ) from None
        if sublabel is None:
            continue
        if sublabel.id in seen:
            raise BadOutputError(
                "function output skeleton with multiple elements with same sublabel"
            )
        seen.add(sublabel.id)
        _check_attributes(element, sublabel)
    complete = len(seen) == len(label.keypoints)
    if not complete and not (allow_missing and seen):
        raise BadOutputError(
            "function output skeleton with fewer elements than expected"
            f" ({len(seen)} vs {len(label.keypoints)})"
        )


def _check_attributes(detection: Detection, label: LabelMatch) -> None:
    seen: set[int] = set()
    for spec_id, value in detection.attributes:
        try:
            attribute = label.attributes[spec_id]
        except (KeyError, TypeError):
            raise BadOutputError(f"function output attribute with unknown ID ({spec_id})") from None
        if attribute is None:
            continue
        if attribute.id in seen:
            raise BadOutputError("function output shape with multiple attributes with same ID")
        if not _is_valid_value(attribute, value):
            raise BadOutputError(
                f"function output attribute value ({value!r})"
                f" that is unsuitable for its attribute ({spec_id})"
            )
        if attribute.map_value(str(value)) is not None:
            seen.add(attribute.id)


def _is_valid_value(attribute: AttributeMatch, value: Any) -> bool:
    # CVAT converts numbers to text, but no other type.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        return attribute.accepts(value)
    except (TypeError, ValueError, OverflowError):
        return False
