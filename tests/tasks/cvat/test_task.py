"""`fetch_media` reads a task from the sandbox over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cvat_sdk import Client, models

from cvat_flows.tasks.cvat.task import (
    build_media,
    fetch_media,
)
from cvat_flows.tasks.fetch.plan import plan_frames
from cvat_flows.tasks.model.media import JobRange

MakeTask = Callable[..., Any]


def test_an_image_task(client: Client, make_task: MakeTask, sandbox: Any) -> None:
    task = make_task(7, name="street", segment_size=3, data={"chunk_size": 4})
    media = fetch_media(client, task.id)
    assert (media.task_id, media.name) == (task.id, "street")
    assert (media.size, media.chunk_size) == (7, 4)
    assert media.chunk_type == "imageset"
    assert media.host == sandbox.url.rstrip("/")
    assert media.project_name is None
    assert media.names == tuple(f"img_{n:04d}.jpg" for n in range(7))
    assert set(media.sizes) == {(64, 48)}
    assert media.data_id == task.data
    assert media.chunks_updated_date
    jobs = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    assert media.jobs == tuple(
        JobRange(id=job.id, first=job.start_frame, last=job.stop_frame) for job in jobs
    )
    assert [(job.first, job.last) for job in media.jobs] == [(0, 2), (3, 5), (6, 6)]
    frame = media.frame(4)
    assert (frame.name, frame.width, frame.height) == ("img_0004.jpg", 64, 48)
    assert (frame.chunk, frame.job_ids) == (1, (jobs[1].id,))
    assert media.frame_url(frame) == (f"{media.host}/tasks/{task.id}/jobs/{jobs[1].id}?frame=4")


def test_overlapping_jobs(client: Client, make_task: MakeTask) -> None:
    task = make_task(10, segment_size=4, overlap=2)
    media = fetch_media(client, task.id)
    first, second, third, fourth = media.jobs
    assert [(job.first, job.last) for job in media.jobs] == [(0, 3), (2, 5), (4, 7), (6, 9)]
    assert media.job_ids_of(1) == (first.id,)
    assert media.job_ids_of(3) == (first.id, second.id)
    assert media.job_ids_of(5) == (second.id, third.id)
    assert media.job_ids_of(9) == (fourth.id,)
    assert plan_frames(media, frames_per_run=72).frame_count == 10


@pytest.fixture
def project(client: Client) -> Iterator[Any]:
    project = client.projects.create(
        models.ProjectWriteRequest(name="roads", labels=[models.PatchedLabelRequest(name="car")])
    )
    yield project
    project.remove()


def test_deleted_frames_and_projects(client: Client, project: Any, make_task: MakeTask) -> None:
    task = make_task(4, project_id=project.id)
    task.remove_frames_by_ids([1, 3])
    media = fetch_media(client, task.id)
    assert media.deleted_frames == {1, 3}
    assert media.project_name == "roads"


def test_three_requests_are_enough(
    client: Client, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(4, segment_size=1)
    with caplog.at_level("DEBUG", logger="urllib3.connectionpool"):
        fetch_media(client, task.id)
    assert sum('"GET /api/' in message for message in caplog.messages) == 3


def test_more_jobs_than_a_page(client: Client, make_task: MakeTask) -> None:
    media = fetch_media(client, make_task(12, segment_size=1).id)
    assert [job.first for job in media.jobs] == list(range(12))


def test_a_ground_truth_job_is_not_annotated(client: Client, make_task: MakeTask) -> None:
    task = make_task(6, segment_size=3)
    job, _ = client.api_client.jobs_api.create(
        models.JobWriteRequest(
            type="ground_truth", task_id=task.id, frame_selection_method="manual", frames=[1, 4]
        )
    )
    media = fetch_media(client, task.id)
    assert media.ground_truth_job_id == job.id
    assert media.pool_job is None
    assert job.id not in [one.id for one in media.all_jobs]
    assert len(media.jobs) == 2
    assert plan_frames(media, frames_per_run=72).frame_count == 6


def test_honeypots_and_their_pool_are_not_annotated(client: Client, make_task: MakeTask) -> None:
    task = make_task(
        10,
        segment_size=4,
        data={
            "sorting_method": "random",
            "validation_params": {
                "mode": "gt_pool",
                "frame_selection_method": "manual",
                "frames": ["img_0001.jpg", "img_0005.jpg"],
                "frames_per_job_count": 1,
            },
        },
    )
    media = fetch_media(client, task.id)
    layout, _ = client.api_client.tasks_api.retrieve_validation_layout(task.id)
    assert media.size == 12
    assert media.pool_job is not None
    assert (media.pool_job.first, media.pool_job.last) == (10, 11)
    assert media.honeypot_frames == set(layout.honeypot_frames)
    assert len(media.honeypot_frames) == 2
    plan = plan_frames(media, frames_per_run=72)
    assert plan.frame_count == 8
    assert not {frame.number for frame in plan.frames} & {*layout.honeypot_frames, 10, 11}


def test_a_video_has_one_name_and_size_for_all_frames() -> None:
    media = build_media(
        {
            "id": 5,
            "name": "clip",
            "size": 9,
            "data_original_chunk_type": "video",
            "created_date": "2026-01-01T00:00:00Z",
            "updated_date": "2026-01-01T00:00:00Z",
        },
        {"chunk_size": 4, "frames": [{"name": "clip.mp4", "width": 64, "height": 48}]},
        [{"id": 1, "type": "annotation", "start_frame": 0, "stop_frame": 8}],
        host="http://cvat.test",
    )
    assert {media.frame(n).name for n in range(9)} == {"clip.mp4"}
    assert media.frame(8).chunk == 2
    assert (media.frame(8).width, media.frame(8).height) == (64, 48)


def test_consensus_replicas_are_not_annotated() -> None:
    media = build_media(
        {
            "id": 5,
            "name": "x",
            "size": 2,
            "data_original_chunk_type": "i",
            "created_date": "2026-01-01T00:00:00Z",
            "updated_date": "2026-01-01T00:00:00Z",
        },
        {"chunk_size": 2, "frames": [{"name": "a"}, {"name": "b"}]},
        [
            {"id": 1, "type": "annotation", "start_frame": 0, "stop_frame": 1},
            {"id": 2, "type": "consensus_replica", "start_frame": 0, "stop_frame": 1},
        ],
        host="http://cvat.test",
    )
    assert [job.id for job in media.all_jobs] == [1]
