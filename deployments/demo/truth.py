"""What is in CVAT after the demo, and what was drawn: the truth for an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from cvat_sdk import Client

    from cvat_flows.deployments.demo.demo_tasks import CreatedTask


@frozen(kw_only=True)
class Box:
    """A rectangle in CVAT."""

    label: str
    points: tuple[float, float, float, float]
    """xtl, ytl, xbr, ybr in pixels."""


def read_boxes(client: Client, task_id: int) -> list[list[Box]]:
    """Read the rectangles of a CVAT task, by frame."""
    task = client.tasks.retrieve(task_id)
    names = {label.id: label.name for label in task.get_labels()}
    frames: list[list[Box]] = [[] for _ in range(task.size)]
    for shape in task.get_annotations().shapes:
        frames[shape.frame].append(Box(label=names[shape.label_id], points=tuple(shape.points)))
    return frames


def write_truth(created: CreatedTask, path: Path) -> Path:
    """Write what was drawn as a file in COCO's format."""
    from PIL import Image

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for source, boxes in zip(created.images, created.drawn, strict=True):
        with Image.open(source) as image:
            width, height = image.size
        images.append(
            {"id": source.name, "file_name": source.name, "width": width, "height": height}
        )
        annotations += [
            {
                "image_id": source.name,
                "category_id": box.label,
                "bbox": [box.xtl, box.ytl, box.xbr - box.xtl, box.ybr - box.ytl],
            }
            for box in boxes
        ]
    labels = sorted({row["category_id"] for row in annotations})
    categories = [{"id": label, "name": label} for label in labels]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path
