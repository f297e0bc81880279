"""The CVAT tasks of the demo, made of drawn images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from cvat_sdk import Client

    from aa_functions.training.shape_images import TrueBox


@frozen(kw_only=True)
class DemoTask:
    """A CVAT task to create."""

    name: str
    frames: int
    sizes: tuple[tuple[int, int], ...]
    """Width and height of the images in pixels, in turn."""
    segment_size: int
    seed: int
    unreadable: int | None = None
    """Number of a frame whose image the sandbox damages."""


TASKS = (
    DemoTask(
        name="shapes, one size",
        frames=120,
        sizes=((640, 480),),
        segment_size=40,
        seed=1001,
        unreadable=17,
    ),
    DemoTask(
        name="shapes, several sizes",
        frames=60,
        sizes=((320, 240), (640, 480), (800, 600), (1280, 720)),
        segment_size=25,
        seed=1002,
    ),
)


@frozen(kw_only=True)
class CreatedTask:
    """A CVAT task with its images and what is drawn on them."""

    task_id: int
    images: list[Path]
    drawn: list[tuple[TrueBox, ...]]
    """The drawn shapes, by frame."""


def create_task(client: Client, task: DemoTask, folder: Path) -> CreatedTask:
    """Draw the images in `folder` and create the CVAT task with them."""
    from cvat_sdk import models

    from aa_functions.training.shape_images import LABELS, make_shape_images

    folder.mkdir(parents=True)
    images, drawn = [], []
    for n, made in enumerate(make_shape_images(task.frames, seed=task.seed, sizes=task.sizes)):
        path = folder / f"img_{n:04d}.jpg"
        made.image.save(path, quality=92)
        images.append(path)
        drawn.append(made.boxes)
    created = client.tasks.create_from_data(
        spec=models.TaskWriteRequest(
            name=task.name,
            segment_size=task.segment_size,
            labels=[models.PatchedLabelRequest(name=name, type="rectangle") for name in LABELS],
        ),
        resources=images,
    )
    return CreatedTask(task_id=created.id, images=images, drawn=drawn)
