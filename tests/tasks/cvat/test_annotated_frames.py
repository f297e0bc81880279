"""A frame with a tag, a shape or a visible track has annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cvat_sdk import Client, models

from cvat_flows.tasks.cvat.annotated_frames import annotated_frames, visible_frames
from cvat_flows.tasks.cvat.task import fetch_media


def track(*keyframes: int, **more: Any) -> dict[str, Any]:
    """A track with these keyframes; it ends at negative ones."""
    shapes = [{"frame": abs(number), "outside": number < 0} for number in keyframes]
    return {"frame": abs(keyframes[0]) if keyframes else 0, "shapes": shapes, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (track(3), range(3, 10)),
        (track(0, 2, -3), range(3)),
        (track(2, -4, 6, -7), [2, 3, 6]),
        (track(5, -8)["shapes"][::-1], [5, 6, 7]),
        (track(-1), []),
        (track(-1, 8), [8, 9]),
        (track(7, 12), [7, 8, 9]),
        (track(elements=[track(1, -2), track(4, -5)]), [1, 4]),
        (track(1, -3, elements=[track(1, 9)]), [1, 2]),
        (track(), []),
    ],
)
def test_visible_frames(given: Any, expected: Any) -> None:
    found = given if isinstance(given, dict) else {"shapes": given}
    assert sorted(set(visible_frames(found, last=9))) == list(expected)


def test_frames_of_the_jobs_of_a_task(client: Client, make_task: Callable[..., Any]) -> None:
    task = make_task(10, segment_size=5)
    (label,) = (label.id for label in task.get_labels())
    box = {"label_id": label, "type": "rectangle", "points": [1, 1, 9, 9]}
    first, _ = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    first.set_annotations(
        models.LabeledDataRequest(
            tags=[models.LabeledImageRequest(frame=0, label_id=label)],
            shapes=[models.LabeledShapeRequest(frame=1, **box)],
            tracks=[
                models.LabeledTrackRequest(
                    frame=3,
                    label_id=label,
                    shapes=[
                        models.TrackedShapeRequest(frame=3, type="rectangle", points=[1.0] * 4)
                    ],
                )
            ],
        )
    )
    jobs = fetch_media(client, task.id).all_jobs
    assert [annotated_frames(client, job) for job in jobs] == [{0, 1, 3, 4}, set()]
