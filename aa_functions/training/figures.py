"""Shapes with a direction: their outline, the box along their axis, and their keypoints."""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import frozen

Point = tuple[float, float]


@frozen(kw_only=True)
class RotatedBox:
    """A box that is turned around its centre, in pixels and degrees (clockwise)."""

    x: float
    y: float
    width: float
    height: float
    degrees: float

    def corners(self) -> tuple[Point, ...]:
        """Return the four corners, around the box.

        >>> box = RotatedBox(x=10, y=10, width=4, height=2, degrees=90)
        >>> [(round(x), round(y)) for x, y in box.corners()]
        [(11, 8), (11, 12), (9, 12), (9, 8)]
        """
        across, down = self.width / 2, self.height / 2
        around = ((-across, -down), (across, -down), (across, down), (-across, down))
        turned = (_turn(corner, math.radians(self.degrees)) for corner in around)
        return tuple((self.x + x, self.y + y) for x, y in turned)


@frozen(kw_only=True)
class Figure:
    """A shape. Its keypoints are named in `KEYPOINTS`."""

    outline: tuple[Point, ...]
    box: RotatedBox | None = None
    keypoints: tuple[Point, ...] = ()

    def turn(self, radians: float, *, scale: float) -> Figure:
        """Turn the shape clockwise around (0, 0) and enlarge it."""
        box = self.box and RotatedBox(
            x=_turn((self.box.x, self.box.y), radians)[0] * scale,
            y=_turn((self.box.x, self.box.y), radians)[1] * scale,
            width=self.box.width * scale,
            height=self.box.height * scale,
            degrees=(self.box.degrees + math.degrees(radians)) % 360,
        )
        return Figure(
            outline=_turn_all(self.outline, radians, scale),
            box=box,
            keypoints=_turn_all(self.keypoints, radians, scale),
        )

    def move(self, dx: float, dy: float) -> Figure:
        """Move the shape by this many pixels."""
        box = self.box and RotatedBox(
            x=self.box.x + dx,
            y=self.box.y + dy,
            width=self.box.width,
            height=self.box.height,
            degrees=self.box.degrees,
        )
        return Figure(
            outline=tuple((x + dx, y + dy) for x, y in self.outline),
            box=box,
            keypoints=tuple((x + dx, y + dy) for x, y in self.keypoints),
        )


def _turn(point: Point, radians: float) -> Point:
    (x, y), cos, sin = point, math.cos(radians), math.sin(radians)
    return x * cos - y * sin, x * sin + y * cos


def _turn_all(points: tuple[Point, ...], radians: float, scale: float) -> tuple[Point, ...]:
    turned = (_turn(point, radians) for point in points)
    return tuple((x * scale, y * scale) for x, y in turned)


_ARROW = ((1.0, 0.0), (-0.75, 0.55), (-0.3, 0.0), (-0.75, -0.55))

KEYPOINTS = ("tip", "right", "tail", "left")
"""Names of the keypoints of an arrow, as seen by one who looks where it points."""

FIGURES: Mapping[str, Figure] = {
    "bar": Figure(
        outline=((1.0, 0.3), (-1.0, 0.3), (-1.0, -0.3), (1.0, -0.3)),
        box=RotatedBox(x=0, y=0, width=2, height=0.6, degrees=0),
    ),
    "arrow": Figure(
        outline=_ARROW,
        box=RotatedBox(x=0.125, y=0, width=1.75, height=1.1, degrees=0),
        keypoints=_ARROW,
    ),
}
"""Shapes of radius 1 around (0, 0) that point to the right."""
