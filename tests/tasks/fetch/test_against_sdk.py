"""A function gets the same images from `FrameSource` as from the SDK's driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from cvat_sdk import Client
from cvat_sdk.datasets import MediaDownloadPolicy, TaskDataset

from cvat_flows.tasks.cvat.client import http
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.cvat.task import fetch_media
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.fetch.plan import plan_frames
from cvat_flows.tasks.fetch.source import FrameSource
from tests.tasks.fetch.film import film

MakeTask = Callable[..., Any]


def fetch(client: Client, task_id: int, **plan: Any) -> list[LoadedFrame]:
    media = fetch_media(client, task_id)
    batches = plan_frames(media, **{"frames_per_run": 72, **plan}).batches
    with FrameSource(client, media, batches) as source:
        return [loaded for batch in batches for loaded in source.fetch(batch)]


def image_of(loaded: LoadedFrame) -> PIL.Image.Image:
    assert loaded.outcome.failure is None, loaded.outcome.failure
    assert loaded.image is not None
    return loaded.image


def same(ours: PIL.Image.Image, theirs: PIL.Image.Image) -> None:
    assert (ours.mode, ours.size, ours.format) == (theirs.mode, theirs.size, theirs.format)
    assert type(ours) is type(theirs)
    assert ours.tobytes() == theirs.tobytes()
    assert ours.getpalette() == theirs.getpalette()
    assert {k: v for k, v in ours.info.items() if k != "exif"} == {
        k: v for k, v in theirs.info.items() if k != "exif"
    }


def draw(folder: Path) -> list[Path]:
    """Save an image of each mode and format that a task can contain."""
    pixels = np.random.default_rng(1).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    colour = PIL.Image.fromarray(pixels)
    sixteen = PIL.Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    upside = PIL.Image.Exif()
    upside[0x0112] = 6
    pictures = [
        ("a_rgb.jpg", colour, {}),
        ("b_grey.jpg", colour.convert("L"), {}),
        ("c_cmyk.jpg", colour.convert("CMYK"), {}),
        ("d_exif.jpg", colour, {"exif": upside}),
        ("e_grey.png", colour.convert("L"), {}),
        ("f_palette.png", colour.convert("P"), {}),
        ("g_alpha.png", colour.convert("RGBA"), {}),
        ("h_grey_alpha.png", colour.convert("LA"), {}),
        ("i_bits.png", colour.convert("1"), {}),
        ("j_sixteen.png", sixteen, {}),
        ("k_transparent.png", colour.convert("P"), {"transparency": 3}),
        ("l.bmp", colour, {}),
        ("m.webp", colour, {}),
        ("n.tif", colour, {}),
        ("o_large.png", colour.resize((300, 200)), {}),
    ]
    for name, picture, options in pictures:
        picture.save(folder / name, **options)
    return [folder / name for name, _, _ in pictures]


def test_every_mode_and_format(client: Client, make_task: MakeTask, tmp_path: Path) -> None:
    paths = draw(tmp_path)
    task = make_task(images=paths, data={"chunk_size": 4})
    expected = {s.frame_index: s for s in TaskDataset(client, task.id).samples}
    loaded = fetch(client, task.id, frames_per_run=3)
    assert [one.frame.number for one in loaded] == sorted(expected)
    for one in loaded:
        sample = expected[one.frame.number]
        assert one.frame.name == sample.frame_name
        image = image_of(one)
        same(image, sample.media.load_image())
        assert image.size == (one.frame.width, one.frame.height)


def test_frame_ranges_steps_and_order(client: Client, make_task: MakeTask) -> None:
    task = make_task(
        20, data={"start_frame": 3, "stop_frame": 17, "frame_step": 4, "chunk_size": 3}
    )
    expected = TaskDataset(client, task.id).samples
    loaded = fetch(client, task.id)
    assert [one.frame.name for one in loaded] == [s.frame_name for s in expected]
    assert len(loaded) == 4
    for one, sample in zip(loaded, expected, strict=True):
        same(image_of(one), sample.media.load_image())


def test_jobs_that_overlap_and_deleted_frames(client: Client, make_task: MakeTask) -> None:
    task = make_task(10, segment_size=4, overlap=2, data={"chunk_size": 3})
    task.remove_frames_by_ids([0, 5])
    expected = {s.frame_index: s for s in TaskDataset(client, task.id).samples}
    loaded = fetch(client, task.id)
    assert [one.frame.number for one in loaded] == sorted(expected)
    for one in loaded:
        same(image_of(one), expected[one.frame.number].media.load_image())


# -- video -------------------------------------------------------------------------------------


def frame_by_frame(client: Client, task_id: int) -> list[PIL.Image.Image]:
    policy = MediaDownloadPolicy.FETCH_FRAMES_ON_DEMAND
    dataset = TaskDataset(client, task_id, media_download_policy=policy)
    return [sample.media.load_image() for sample in dataset.samples]


@pytest.mark.parametrize("data", [{}, {"frame_step": 3}, {"use_zip_chunks": True}])
def test_video_frames_equal_those_that_cvat_serves_one_by_one(
    client: Client, make_task: MakeTask, tmp_path: Path, data: dict[str, Any], sandbox: Any
) -> None:
    task = make_task(images=[film(tmp_path / "clip.mp4", 23)], data={"chunk_size": 5, **data})
    expected = frame_by_frame(client, task.id)
    sandbox.reset_request_counts()
    loaded = fetch(client, task.id, frames_per_run=4)
    assert not [path for path in sandbox.request_counts() if "type=frame" in path]
    assert len(loaded) == len(expected) == (8 if "frame_step" in data else 23)
    for one, theirs in zip(loaded, expected, strict=True):
        ours = image_of(one)
        assert (ours.mode, ours.size) == ("RGB", theirs.size)
        assert ours.tobytes() == theirs.convert("RGB").tobytes()
        assert one.frame.name == "clip.mp4"


def test_single_frames_of_a_video(client: Client, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(images=[film(tmp_path / "clip.mp4", 11)], data={"chunk_size": 5})
    expected = frame_by_frame(client, task.id)
    (alone,) = fetch(client, task.id, frames="7")
    assert image_of(alone).tobytes() == expected[7].tobytes()


def test_frames_of_a_damaged_video_chunk_are_downloaded_alone(
    client: Client, make_task: MakeTask, tmp_path: Path, sandbox: Any
) -> None:
    task = make_task(images=[film(tmp_path / "clip.mp4", 12)], data={"chunk_size": 6})
    expected = frame_by_frame(client, task.id)
    sandbox.set_faults(
        [
            {
                "action": "garble",
                "path": f"/tasks/{task.id}/data$",
                "query": "type=chunk",
                "keep": 0.0,
                "times": None,
            }
        ]
    )
    try:
        loaded = fetch(client, task.id)
    finally:
        sandbox.clear_faults()
    assert [image_of(one).tobytes() for one in loaded] == [i.tobytes() for i in expected]


def test_a_video_with_odd_sides(client: Client, make_task: MakeTask, tmp_path: Path) -> None:
    """CVAT stores it with even sides, and still says the odd ones."""
    task = make_task(images=[film(tmp_path / "clip.avi", 3, size=(63, 47))])
    for one in fetch(client, task.id):
        assert image_of(one).size == (64, 48)
        assert (one.frame.width, one.frame.height) == (63, 47)


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 504},
        {"action": "status", "status": 502, "when": "after"},
        {"action": "status", "status": 429, "retry_after": 0},
        {"action": "reset"},
        {"action": "reset", "when": "after"},
        {"action": "truncate"},
        {"action": "garble", "keep": 0.0},
        {"action": "garble", "keep": 0.9},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_frames_arrive_despite_faults(
    client: Client,
    make_task: MakeTask,
    sandbox: Any,
    fault: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "DEFAULT_POLICY", RetryPolicy(first_wait=0.01))
    task = make_task(9, data={"chunk_size": 3})
    expected = [s.media.load_image() for s in TaskDataset(client, task.id).samples]
    sandbox.set_faults([{"path": rf"/tasks/{task.id}(/|$)", "times": 2, **fault}])
    try:
        loaded = fetch(client, task.id)
    finally:
        sandbox.clear_faults()
    for one, theirs in zip(loaded, expected, strict=True):
        same(image_of(one), theirs)


@pytest.mark.parametrize("how", ["garbage", "truncated"])
def test_an_image_that_cvat_cannot_read_fails_alone(
    client: Client, make_task: MakeTask, sandbox: Any, how: str
) -> None:
    task = make_task(6, data={"chunk_size": 4})
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 2, "how": how}])
    try:
        loaded = fetch(client, task.id)
    finally:
        sandbox.clear_faults()
    failed = [one for one in loaded if one.outcome.failure]
    assert [one.frame.number for one in failed] == [2]
    failure = failed[0].outcome.failure
    assert failure is not None
    assert failure.step == "fetch"
    assert "img_0002.jpg" in failure.error
