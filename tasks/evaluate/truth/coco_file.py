"""Read annotations in COCO's format: boxes, polygons, run lengths and keypoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cvat_flows.tasks.evaluate.compare.coco import decode_region
from cvat_flows.tasks.evaluate.truth.names import Names
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.labels import SKELETON, Label


def read_coco(content: bytes, names: Names) -> tuple[dict[str, int | None], list[Annotation]]:
    """Return the frames of the file's images by name, and the annotations of those in the task.

    An annotation is read as what its label is in the task: a rectangle for a label of rectangles,
    also if the file has a polygon. A crowd with a segmentation is a mask, because CVAT writes masks
    as crowds. Raises ValueError, KeyError and TypeError for another format.
    """
    data = json.loads(content)
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
        raise ValueError("no images, annotations and categories")
    images = {row["file_name"]: names.frame(row["file_name"]) for row in data["images"]}
    frames = {row["id"]: images[row["file_name"]] for row in data["images"]}
    sizes = {row["id"]: (int(row["height"]), int(row["width"])) for row in data["images"]}
    categories = {row["id"]: row for row in data["categories"]}
    annotations = []
    for row in data["annotations"]:
        frame = frames[row["image_id"]]
        if frame is None or (row.get("iscrowd") and not row.get("segmentation")):
            continue
        category = categories[row["category_id"]]
        label = names.label(category["name"])
        annotations += _annotations(row, label, category, frame, sizes[row["image_id"]])
    return images, annotations


def _annotations(
    row: Mapping[str, Any],
    label: Label,
    category: Mapping[str, Any],
    frame: int,
    size: tuple[int, int],
) -> list[Annotation]:
    if label.type == SKELETON or (label.sublabels and row.get("keypoints")):
        return [_skeleton(row, label, category, frame)]
    segmentation = row.get("segmentation")
    if segmentation and label.type != "rectangle":
        if isinstance(segmentation, dict):
            points = mask_points(decode_region(segmentation))
            return [_shape("mask", label, frame, points)] if points else []
        if len(segmentation) == 1:
            return [_shape("polygon", label, frame, segmentation[0])]
        parts = decode_region(segmentation, size)
        return [_shape("mask", label, frame, mask_points(parts))]
    left, top, width, height = row["bbox"]
    return [_shape("rectangle", label, frame, (left, top, left + width, top + height))]


def _shape(kind: str, label: Label, frame: int, points: Any) -> Annotation:
    return Annotation(
        type=kind, label_id=label.id, frame=frame, points=tuple(map(float, points)), source="file"
    )


def _skeleton(
    row: Mapping[str, Any], label: Label, category: Mapping[str, Any], frame: int
) -> Annotation:
    places = np.array(row["keypoints"], float).reshape(-1, 3)
    by_name = {one.name: one for one in label.sublabels}
    named = zip(category.get("keypoints") or list(by_name), places.tolist(), strict=False)
    elements = tuple(
        Annotation(type="points", label_id=by_name[str(name)].id, frame=frame, points=(x, y))
        for name, (x, y, visible) in named
        if visible and str(name) in by_name
    )
    return Annotation(type=SKELETON, label_id=label.id, frame=frame, elements=elements)


def mask_points(pixels: Any) -> tuple[float, ...]:
    """Return a mask as CVAT stores it: run lengths row by row, then its box; () if it is empty.

    >>> mask_points(np.array([[0, 0, 0], [0, 1, 1]]))
    (0.0, 2.0, 1.0, 1.0, 2.0, 1.0)
    """
    rows, columns = np.nonzero(pixels)
    if not len(rows):
        return ()
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    flat = np.asarray(pixels)[top : bottom + 1, left : right + 1].ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    runs = np.diff([0, *edges, len(flat)]).tolist()
    return tuple(map(float, [*runs, left, top, right, bottom]))
