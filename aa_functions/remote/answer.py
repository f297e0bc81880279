"""Convert a Nuclio detector's answer to annotations.

The answer is a list of objects:

| key | meaning |
|---|---|
| `label` | name of a label in the spec |
| `type` | `rectangle`, `polygon`, `mask`, `skeleton`, `tag` or another type of CVAT |
| `points` | a flat list of coordinates in pixels; of a mask, its outline |
| `mask` | the pixels of a box, row by row, 0 or not; then left, top, right, bottom, inclusive |
| `elements` | of a skeleton: objects with `label`, `points` and the keys below |
| `confidence` | 0 to 1, as a number or a text |
| `attributes` | objects with `name` and `value` |
| `group_id`, `rotation`, `occluded`, `outside` | as in CVAT |

As in CVAT, what has a label, a sublabel or an attribute that the spec lacks is left out, and of a
skeleton the missing points are marked outside.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cvat_sdk import models
from cvat_sdk.auto_annotation import (
    BadFunctionError,
    DetectionAnnotation,
    keypoint,
    mask,
    polygon,
    shape,
    skeleton,
    tag,
)
from numpy.typing import NDArray

from aa_functions.errors import NuclioError
from aa_functions.mask_codec import encode_bitmap
from aa_functions.outlines import mask_to_polygons
from aa_functions.remote.function_yaml import NamedLabel

logger = logging.getLogger(__name__)

_OTHER_TYPES = frozenset({"cuboid", "ellipse", "points", "polygon", "polyline", "rectangle"})
_ROTATABLE = frozenset({"ellipse", "rectangle"})


class NuclioAnswerError(NuclioError, BadFunctionError):  # type: ignore[misc]
    """The function does not answer by the contract. Trying again does not help."""


class AnswerReader:
    """Converts answers. It says once for each name that the spec lacks that it is left out.

    Args:
        labels: The function's labels by name.
        subject: The function, for texts.
    """

    def __init__(self, labels: Mapping[str, NamedLabel], subject: str) -> None:
        self._labels = labels
        self._subject = subject
        self._unknown: set[str] = set()

    def read(
        self,
        answer: Any,
        *,
        size: tuple[int, int],
        threshold: float | None,
        conv_mask_to_poly: bool,
    ) -> list[DetectionAnnotation]:
        """Return the annotations of an answer.

        Args:
            answer: The JSON.
            size: Width and height of the image.
            threshold: Leave out what has a lower confidence.
            conv_mask_to_poly: Return polygons for masks: the outline in the answer, or else that of
                the pixels.

        Raises:
            NuclioAnswerError: if the answer breaks the contract.
        """
        if not isinstance(answer, list):
            raise NuclioAnswerError(
                f"{self._subject} answers {_kind(answer)}, not a list of annotations: 'url' must "
                "be that of a Nuclio detector of CVAT."
            )
        found: list[DetectionAnnotation] = []
        for number, item in enumerate(answer):
            try:
                found += self._item(item, size, threshold, conv_mask_to_poly)
            except _Wrong as error:
                raise NuclioAnswerError(
                    f"{self._subject} answers an annotation (number {number}) {error}: correct the "
                    "function."
                ) from error
        return found

    def _item(
        self,
        item: Any,
        size: tuple[int, int],
        threshold: float | None,
        conv_mask_to_poly: bool,
    ) -> Sequence[DetectionAnnotation]:
        if not isinstance(item, Mapping):
            raise _Wrong(f"that is {_kind(item)} instead of an object")
        label = self._find(self._labels, item.get("label"), "label")
        score = _score(item)
        if label is None or (threshold is not None and score is not None and score < threshold):
            return ()
        type_ = str(item.get("type", "")).lower()
        common: dict[str, Any] = {"attributes": self._attributes(item, label)}
        if score is not None:
            common["score"] = score
        if type_ == "tag":
            return [tag(label.id, **common)]
        if item.get("group_id"):
            common["group"] = int(_number(item["group_id"], "group_id"))
        if type_ == "skeleton":
            elements = self._elements(item, label)
            return [skeleton(label.id, elements, **common)] if elements else ()
        if item.get("occluded"):
            common["occluded"] = True
        if type_ == "mask":
            return _masks(item, label, size, common, conv_mask_to_poly)
        if type_ not in _OTHER_TYPES:
            raise _Wrong(f"of the type {item.get('type')!r}, which CVAT does not have")
        if type_ in _ROTATABLE and item.get("rotation"):
            common["rotation"] = _number(item["rotation"], "rotation") % 360
        return [shape(label.id, type=type_, points=_points(item), **common)]

    def _elements(self, item: Mapping[str, Any], label: NamedLabel) -> list[Any]:
        """Return one keypoint for each sublabel; none if all are outside."""
        entries = item.get("elements")
        if not isinstance(entries, list):
            raise _Wrong("of type skeleton without a list of 'elements'")
        found: dict[int, Any] = {}
        positions = []
        for entry in entries:
            if not isinstance(entry, Mapping):
                raise _Wrong(f"with an element that is {_kind(entry)} instead of an object")
            sublabel = self._find(label.sublabels, entry.get("label"), "sublabel")
            if sublabel is None:
                continue
            points = _points(entry)
            if len(points) != 2:
                raise _Wrong(f"with a keypoint that has {len(points)} coordinates instead of 2")
            positions.append(points)
            fields: dict[str, Any] = {"attributes": self._attributes(entry, sublabel)}
            if (score := _score(entry)) is not None:
                fields["score"] = score
            found[sublabel.id] = keypoint(
                sublabel.id,
                points,
                outside=bool(entry.get("outside")),
                occluded=bool(entry.get("occluded")),
                **fields,
            )
        if all(element.outside for element in found.values()):
            return []
        centre = np.mean(positions, axis=0).tolist()
        return [
            found.get(one.id) or keypoint(one.id, centre, outside=True)
            for one in label.sublabels.values()
        ]

    def _attributes(self, item: Mapping[str, Any], label: NamedLabel) -> list[Any]:
        found = {}
        for entry in item.get("attributes") or ():
            if not isinstance(entry, Mapping) or "value" not in entry:
                raise _Wrong("with an attribute that is not an object with 'name' and 'value'")
            name = entry.get("name")
            if name in label.attributes:
                found[label.attributes[str(name)]] = _text(entry["value"])
            else:
                self._note_unknown("attribute", name)
        return [models.AttributeValRequest(spec_id=id_, value=text) for id_, text in found.items()]

    def _find(self, labels: Mapping[str, NamedLabel], name: Any, kind: str) -> NamedLabel | None:
        if not isinstance(name, str):
            raise _Wrong("without a 'label'")
        if name not in labels:
            self._note_unknown(kind, name)
        return labels.get(name)

    def _note_unknown(self, kind: str, name: Any) -> None:
        key = f"{kind} {name!r}"
        if key not in self._unknown:
            self._unknown.add(key)
            logger.warning(
                "%s answers with the %s, which its spec does not have. What has it is left out, as "
                "in CVAT. Add it to the spec if you want it.",
                self._subject,
                key,
            )


class _Wrong(Exception):
    """What is wrong with an annotation, as the end of a sentence."""


def _masks(
    item: Mapping[str, Any],
    label: NamedLabel,
    size: tuple[int, int],
    fields: Mapping[str, Any],
    conv_mask_to_poly: bool,
) -> Sequence[DetectionAnnotation]:
    if conv_mask_to_poly and len(item.get("points") or ()) >= 6:  # 4 are a box
        return [polygon(label.id, _points(item), **fields)]
    bitmap, left, top = _bitmap(item.get("mask"), size)
    if not conv_mask_to_poly:
        points = encode_bitmap(bitmap, left, top)
        return [mask(label.id, points, **fields)] if points else ()
    corner = np.array([left, top])
    return [
        polygon(label.id, (outline + corner).ravel().tolist(), **fields)
        for outline in mask_to_polygons(bitmap)
    ]


def _bitmap(values: Any, size: tuple[int, int]) -> tuple[NDArray[np.bool_], int, int]:
    """Return the pixels of a mask, and the left and top edge of its box."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _Wrong("with a 'mask' that is not a flat list of numbers") from error
    if numbers.ndim != 1 or numbers.size < 5 or not np.isfinite(numbers[-4:]).all():
        raise _Wrong("with a 'mask' that is not a flat list of pixels and the box's four corners")
    left, top, right, bottom = (int(corner) for corner in numbers[-4:])
    pixels: NDArray[np.bool_] = numbers[:-4] != 0
    # Functions cut the box at the image's width and height, which is one too far for inclusive
    # corners. Their pixels end at the border.
    width, height = size
    for x, y in ((right, bottom), (min(right, width - 1), min(bottom, height - 1))):
        rows, columns = y - top + 1, x - left + 1
        if min(rows, columns) > 0 and rows * columns == pixels.size:
            return pixels.reshape(rows, columns), left, top
    raise _Wrong(
        f"with a 'mask' of {pixels.size} pixels for the box {left}, {top}, {right}, {bottom}"
    )


def _points(item: Mapping[str, Any]) -> list[float]:
    values = item.get("points")
    if not isinstance(values, list) or not values:
        raise _Wrong("without a list of 'points'")
    return [_number(value, "points") for value in values]


def _score(item: Mapping[str, Any]) -> float | None:
    """Return the confidence. Rounding can put it a little outside 0 to 1."""
    if item.get("confidence") is None:
        return None
    return min(max(_number(item["confidence"], "confidence"), 0.0), 1.0)


def _number(value: Any, key: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Wrong(f"with {value!r} in '{key}', which is not a number")
    return number


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), "a number")
