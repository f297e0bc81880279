"""Draw what a function detected on an image."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.reports.pictures.outlines import outlines_of
from cvat_flows.tasks.reports.pictures.thumbnails import assign_colours, draw_outlines, shrink

MAX_SIDE = 1600
"""Pixels of the drawn picture."""


def draw_detections(
    image: Image.Image, found: Iterable[Detection], labels: Iterable[Label]
) -> Image.Image:
    """Return the image with the shapes, in the colours of their labels."""
    names = {label.id: label.name for label in labels}
    small, scale = shrink(image.convert("RGB"), MAX_SIDE)
    small = small.copy()
    outlines = outlines_of((one, names.get(one.label_id, "?")) for one in found)
    draw_outlines(small, outlines, scale, assign_colours(names.values()))
    return small
