"""What a track shows on each frame, as CVAT draws it between the keyframes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from cvat_flows.tasks.cvat.annotation_json import annotation_of_json
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.labels import SKELETON

_INTERPOLATED = ("rectangle", "ellipse", "points")


def shapes_of_track(track: Mapping[str, Any], *, last: int) -> Iterator[Annotation]:
    """Yield a shape for each frame on which the track is visible.

    Rectangles, ellipses and keypoints move in a straight line between two keyframes. Other shapes
    stay as they are until the next keyframe. The last keyframe is valid up to the frame `last`.
    """
    if track.get("elements"):
        yield from _skeletons(track, last=last)
        return
    for frame, shape in _places(track, last=last):
        item = {**shape, "frame": frame, "label_id": track["label_id"]}
        yield annotation_of_json({**item, "source": track.get("source") or "manual"})


def _places(track: Mapping[str, Any], *, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
    keyframes = sorted(track.get("shapes") or (), key=lambda shape: shape["frame"])
    for shape, following in pairwise([*keyframes, None]):
        if shape is None or shape.get("outside"):
            continue
        end = last if following is None else min(last, following["frame"] - 1)
        for frame in range(shape["frame"], end + 1):
            yield frame, _between(shape, following, frame)


def _between(shape: dict[str, Any], following: dict[str, Any] | None, frame: int) -> dict[str, Any]:
    if following is None or following.get("outside") or shape.get("type") not in _INTERPOLATED:
        return shape
    here, there = shape.get("points") or [], following.get("points") or []
    if len(here) != len(there):
        return shape
    part = (frame - shape["frame"]) / (following["frame"] - shape["frame"])
    turn = (following.get("rotation", 0) - shape.get("rotation", 0) + 180) % 360 - 180
    return {
        **shape,
        "points": [a + (b - a) * part for a, b in zip(here, there, strict=True)],
        "rotation": (shape.get("rotation", 0) + turn * part) % 360,
    }


def _skeletons(track: Mapping[str, Any], *, last: int) -> Iterator[Annotation]:
    by_frame: dict[int, list[dict[str, Any]]] = {}
    for element in track["elements"]:
        for frame, shape in _places(element, last=last):
            item = {**shape, "frame": frame, "label_id": element["label_id"]}
            by_frame.setdefault(frame, []).append(item)
    for frame, elements in sorted(by_frame.items()):
        yield annotation_of_json(
            {
                "type": SKELETON,
                "frame": frame,
                "label_id": track["label_id"],
                "source": track.get("source") or "manual",
                "elements": elements,
            }
        )
