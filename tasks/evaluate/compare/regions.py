"""The intersection over union of polygons, masks and ellipses, in pixels, as COCO counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cvat_flows.tasks.evaluate.compare.coco import encode_polygon, region_iou
from cvat_flows.tasks.evaluate.compare.geometry import corners_of
from cvat_flows.tasks.model.annotations import Annotation


class RegionReader:
    """Encodes regions as COCO's run lengths, each once.

    Args:
        sizes: Width and height of the images by frame number.
    """

    def __init__(self, sizes: Mapping[int, tuple[int, int]]) -> None:
        self._sizes = sizes
        self._encoded: dict[int, Any] = {}
        self._frame = -1

    def iou(self, a: Annotation, b: Annotation) -> float:
        """Return the IoU of two regions of the same frame."""
        if a.frame != self._frame:  # pairs come frame by frame
            self._encoded.clear()
            self._frame = a.frame
        return region_iou(self._encode(a), self._encode(b))

    def _encode(self, shape: Annotation) -> Any:
        known = self._encoded.get(id(shape))
        if known is None:
            width, height = self._sizes[shape.frame]
            if shape.type == "mask":
                runs = _column_runs(shape.points, height)
                runs.append(height * width - sum(runs))
                known = {"size": [height, width], "counts": runs}
            else:
                known = encode_polygon(corners_of(shape).ravel().tolist(), height, width)
            self._encoded[id(shape)] = known
        return known


def _column_runs(points: tuple[float, ...], height: int) -> list[int]:
    """Return the runs of a mask column by column, beginning with a gap.

    CVAT's runs go row by row through the box of the mask.
    """
    left, top, right, bottom = (int(value) for value in points[-4:])
    runs = np.array(points[:-4], np.int64)
    rows, columns = bottom - top + 1, right - left + 1
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs)[: rows * columns]
    box = np.zeros(rows * columns, bool)
    box[: len(filled)] = filled
    column, row = np.nonzero(box.reshape(rows, columns).T)
    places = (column + left) * height + row + top
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > 1)
    begins = np.concatenate([places[:1], places[breaks + 1]])
    ends = np.concatenate([places[breaks] + 1, places[-1:] + 1])
    edges = np.column_stack([begins, ends]).ravel()
    return [int(run) for run in np.diff(edges, prepend=0)]
