"""Frames, jobs and addresses of a task."""

from __future__ import annotations

from cvat_flows.tasks.model.media import TaskMedia
from tests.tasks.fetch.media_factory import make_media


def test_a_frame_without_a_job_links_to_the_task() -> None:
    media = make_media(4, segments=[(0, 1)])
    frame = media.frame(3)
    assert frame.job_ids == ()
    assert media.frame_url(frame) == "http://cvat.test/tasks/5"


def test_long_tasks_print_short() -> None:
    media: TaskMedia = make_media(5000, deleted=range(4000))
    assert len(repr(media)) < 1000
    assert str(media) == "task 5 · street"
