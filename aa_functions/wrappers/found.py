"""Annotations that functions found, with what merging needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from cvat_sdk import models

from aa_functions.wrappers.geometry import Bitmap, area_of, corners_of

TAG = "tag"


@frozen(kw_only=True, eq=False, slots=False)
class Found:
    """A tag or a shape that a function found on a part of an image."""

    item: Any
    """As the function returned it. It is never changed: the function may return it again."""
    dx: int = 0
    """How far the part lies to the right in the image, in pixels."""
    dy: int = 0
    """How far the part lies below the top of the image, in pixels."""
    source: int = 0
    """Number of the part or of the function. Groups of different sources differ."""
    place: int = 0
    """Decides the order of annotations with equal scores."""

    @cached_property
    def kind(self) -> str:
        """`tag` or the type of the shape."""
        if not isinstance(self.item, models.LabeledShapeRequest):
            return TAG
        kind = self.item.get("type")
        return str(getattr(kind, "value", kind))

    @property
    def label(self) -> Any:
        """The label's id."""
        return self.item.get("label_id")

    @property
    def score(self) -> float:
        """Confidence, 0 to 1. Without one an annotation counts as certain."""
        score = self.item.get("score")
        return 1.0 if score is None else float(score)

    @property
    def rotation(self) -> float:
        """Degrees, clockwise."""
        return float(self.item.get("rotation") or 0.0)

    @cached_property
    def points(self) -> list[float]:
        """In pixels of the image. Those of a skeleton are the points of its visible elements."""
        if self.kind == "skeleton":
            elements = self.item.get("elements") or ()
            visible = [one for one in elements if not one.get("outside")] or list(elements)
            return [value for one in visible for value in self._moved(one.get("points") or ())]
        return self._moved(self.item.get("points") or ())

    @cached_property
    def outline(self) -> np.ndarray:
        """The corners (n, 2) of a rectangle, or the points of any other shape but a mask."""
        if self.kind == "rectangle":
            return corners_of(self.points, self.rotation)
        if self.kind == "ellipse":
            x, y, right, top = self.points
            radius_x, radius_y = abs(right - x), abs(y - top)
            bounds = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
            return corners_of(bounds, self.rotation)
        return np.array(self.points, dtype=float).reshape(-1, 2)

    def bitmap(self) -> Bitmap:
        """Return the pixels of a mask. They are not kept: thousands of masks can be large."""
        return Bitmap.of_mask(self.points)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        if self.kind == "mask":
            left, top, right, bottom = self.points[-4:]
            return left, top, right + 1, bottom + 1
        if self.kind == "rectangle" and not self.rotation:
            left, top, right, bottom = self.points
            return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        if not len(self.outline):
            return 0.0, 0.0, 0.0, 0.0
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @cached_property
    def area(self) -> float:
        """Square pixels: of a rectangle, polygon or mask, or of the bounds of another shape."""
        if self.kind == "mask":
            return float(sum(self.points[1:-4:2]))
        if self.kind == "polygon" and len(self.outline):
            return area_of(self.outline)
        if self.kind == "rectangle":
            left, top, right, bottom = self.points
            return abs((right - left) * (bottom - top))
        left, top, right, bottom = self.bounds
        return (right - left) * (bottom - top)

    def _moved(self, points: Iterable[float]) -> list[float]:
        values = [float(value) for value in points]
        if self.dx or self.dy:
            if self.kind == "mask":
                values[-4::2] = [value + self.dx for value in values[-4::2]]
                values[-3::2] = [value + self.dy for value in values[-3::2]]
            else:
                # Without digits that only the addition has made.
                values[0::2] = [round(value + self.dx, 6) for value in values[0::2]]
                values[1::2] = [round(value + self.dy, 6) for value in values[1::2]]
        return values

    def to_annotation(self, **changes: Any) -> Any:
        """Return the annotation in pixels of the image, with other values for some fields."""
        if isinstance(self.item, models.LabeledShapeRequest) and (self.dx or self.dy):
            if self.item.get("elements"):
                moved = [
                    copy_of(one, points=self._moved(one.get("points") or ()))
                    for one in self.item.get("elements")
                ]
                changes = {"elements": moved, **changes}
            if self.item.get("points"):
                changes = {"points": self.points, **changes}
        return copy_of(self.item, **changes) if changes else self.item


def copy_of(item: Any, **changes: Any) -> Any:
    """Return a new object of the SDK with other values for some fields."""
    names = {**type(item).attribute_map, "score": "score"}  # the SDK's tags do not list it
    known = {name: item.get(name) for name in names if name in item}
    return type(item)(**{**known, **changes})


def is_annotation(item: Any) -> bool:
    """Return whether this is an object that the protocol allows."""
    return isinstance(item, models.LabeledShapeRequest | models.LabeledImageRequest)


@frozen
class Groups:
    """Numbers for `group`, so that groups of different sources stay apart."""

    _numbers: dict[tuple[int, Any], int] = field(factory=dict, init=False)

    def change(self, found: Found) -> Mapping[str, Any]:
        """Return the change of an annotation that gives it its group's number."""
        group = found.item.get("group")
        if not group:
            return {}
        key = (found.source, group)
        number = self._numbers.setdefault(key, len(self._numbers) + 1)
        return {} if number == group else {"group": number}


def by_label_and_kind(found: Iterable[Found]) -> list[list[Found]]:
    """Return the annotations in lists of one label and type, in the order of their first ones."""
    lists: dict[tuple[Any, str], list[Found]] = {}
    for one in found:
        lists.setdefault((one.label, one.kind), []).append(one)
    return list(lists.values())


def arrays_of(found: Sequence[Found]) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (n, 4) and areas (n,)."""
    return (
        np.array([one.bounds for one in found], dtype=float).reshape(-1, 4),
        np.array([one.area for one in found], dtype=float),
    )
