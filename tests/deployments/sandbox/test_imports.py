"""Importing image files, archives and videos."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cvat_sdk import Client
from cvat_sdk.core.exceptions import BackgroundRequestException
from PIL import Image

MakeTask = Callable[..., Any]


def noise(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.effect_noise(size, 60).convert(mode)


def open_image(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray((np.random.default_rng(1).random((40, 60)) * 65535).astype("uint16"))


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("grey.png", noise("L")),
        ("palette.png", noise("P")),
        ("alpha.png", noise("RGBA")),
        ("bits.png", noise("1")),
        ("deep.png", sixteen_bits()),
        ("print.jpg", noise("CMYK")),
        ("moving.gif", noise("P")),
        ("web.webp", noise()),
        ("plain.bmp", noise()),
    ],
)
def test_an_image_is_kept_unchanged_and_compressed_to_jpeg(
    make_task: MakeTask, tmp_path: Path, name: str, image: Image.Image
) -> None:
    image.save(tmp_path / name)
    task = make_task(images=[tmp_path / name])
    assert task.get_frame(0, quality="original").read() == (tmp_path / name).read_bytes()
    compressed = open_image(task.get_frame(0, quality="compressed").read())
    assert (compressed.format, compressed.mode, compressed.size) == ("JPEG", "RGB", image.size)
    if image.mode == "I;16":  # cutting off the upper byte would make it all white
        assert 100 < np.asarray(compressed).mean() < 155


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "print.jpg"])
def test_a_picture_with_an_orientation_is_turned_upright(
    make_task: MakeTask, tmp_path: Path, name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise("CMYK" if name == "print.jpg" else "RGB").save(tmp_path / name, exif=exif)
    task = make_task(images=[tmp_path / name])
    [frame] = task.get_frames_info()
    assert (frame.width, frame.height) == (40, 60)
    assert open_image(task.get_frame(0, quality="original").read()).size == (40, 60)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_size_of_a_turned_tiff_is_reported_as_stored(
    make_task: MakeTask, tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise().save(tmp_path / "scan.tiff", exif=exif)
    task = make_task(images=[tmp_path / "scan.tiff"])
    [frame] = task.get_frames_info()
    assert (frame.width, frame.height) == (60, 40)
    served = open_image(task.get_frame(0, quality="original").read())
    assert served.size == ((60, 40) if orientation == 3 else (40, 60))


def enormous(path: Path) -> None:
    Image.new("1", (178_957, 1001)).save(path)


def text(path: Path) -> None:
    path.write_text("this is not a picture")


def empty(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (enormous, "DecompressionBombError"),
        (text, "UnidentifiedImageError"),
        (empty, "UnidentifiedImageError"),
    ],
)
def test_a_picture_that_cvat_refuses_fails_the_import(
    make_task: MakeTask, tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(BackgroundRequestException, match=reason):
        make_task(images=[tmp_path / "a.png"])


def test_a_picture_of_nearly_the_largest_size_is_imported(
    make_task: MakeTask, tmp_path: Path
) -> None:
    Image.new("1", (178_956, 1000)).save(tmp_path / "a.png")
    [frame] = make_task(images=[tmp_path / "a.png"]).get_frames_info()
    assert frame.width == 178_956


def test_a_tiff_is_encoded_again_without_loss(make_task: MakeTask, tmp_path: Path) -> None:
    noise().save(tmp_path / "a.tiff")
    task = make_task(images=[tmp_path / "a.tiff"])
    content = task.get_frame(0, quality="original").read()
    assert content != (tmp_path / "a.tiff").read_bytes()
    assert open_image(content).tobytes() == Image.open(tmp_path / "a.tiff").tobytes()


def test_a_truncated_picture_can_be_imported(make_task: MakeTask, tmp_path: Path) -> None:
    noise().save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "whole.jpg").write_bytes(whole[: len(whole) // 2])
    task = make_task(images=[tmp_path / "whole.jpg"])
    with pytest.raises(OSError, match="truncated"):
        open_image(task.get_frame(0, quality="original").read())
    assert open_image(task.get_frame(0, quality="compressed").read()).size == (60, 40)


def test_the_pictures_of_an_archive(make_task: MakeTask, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("b/2.png", "b/1.png", "a.png", "notes.txt"):
            content = io.BytesIO()
            noise().save(content, "PNG")
            archive.writestr(name, content.getvalue())
    task = make_task(images=[tmp_path / "all.zip"])
    assert [frame.name for frame in task.get_frames_info()] == ["a.png", "b/1.png", "b/2.png"]


@pytest.mark.parametrize(("side", "frames"), [(8, 72), (1440, 36), (4000, 4)])
def test_large_pictures_make_small_chunks(
    make_task: MakeTask, tmp_path: Path, side: int, frames: int
) -> None:
    Image.new("L", (side, side)).save(tmp_path / "a.png")
    assert make_task(images=[tmp_path / "a.png"]).data_chunk_size == frames


def write_clip(path: Path, count: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a video whose frame `n` is grey of brightness `20 * n`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for n in range(count):
            picture = Image.new("RGB", size, (20 * n,) * 3)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def brightness(image: Image.Image) -> int:
    return round(float(np.asarray(image.convert("L")).mean()) / 20)


def download_chunk(client: Client, path: str, **params: Any) -> bytes:
    url = client.api_map.make_endpoint_url(f"/api/{path}/data", query_params=params)
    response = client.api_client.rest_client.GET(
        url, headers=client.api_client.get_common_headers()
    )
    content: bytes = response.data
    return content


def brightness_of_frames(content: bytes) -> list[int]:
    with av.open(io.BytesIO(content)) as container:
        return [brightness(frame.to_image()) for frame in container.decode(video=0)]


def test_the_frames_of_a_video(client: Client, make_task: MakeTask, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "clip.mp4", 10)
    task = make_task(images=[video], data={"chunk_size": 4}, segment_size=6, overlap=0)
    path = f"tasks/{task.id}"
    chunks = [
        brightness_of_frames(download_chunk(client, path, type="chunk", number=n)) for n in range(3)
    ]
    assert chunks == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    frames = [open_image(task.get_frame(n, quality="original").read()) for n in range(10)]
    assert [brightness(frame) for frame in frames] == list(range(10))
    second = f"jobs/{max(job.id for job in task.get_jobs())}"
    assert brightness_of_frames(download_chunk(client, second, type="chunk", index=0)) == [
        6,
        7,
        8,
        9,
    ]
    assert brightness_of_frames(download_chunk(client, second, type="chunk", number=1)) == [6, 7]


def test_a_video_as_archives_of_pictures(
    client: Client, make_task: MakeTask, tmp_path: Path
) -> None:
    options = {"chunk_size": 4, "use_zip_chunks": True, "frame_step": 2, "start_frame": 1}
    task = make_task(images=[write_clip(tmp_path / "clip.avi", 10)], data=options)
    assert task.size == 5
    path = f"tasks/{task.id}"
    content = download_chunk(client, path, type="chunk", number=0, quality="compressed")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        shown = [brightness(open_image(archive.read(name))) for name in archive.namelist()]
    whole = brightness_of_frames(
        download_chunk(client, path, type="chunk", number=0, quality="original")
    )
    assert shown == whole == [1, 3, 5, 7]


def test_ground_truth_with_the_import(make_task: MakeTask) -> None:
    validation = {"mode": "gt", "frame_selection_method": "random_uniform", "frame_count": 2}
    task = make_task(6, data={"validation_params": validation})
    assert str(task.validation_mode) == "gt"
    [job] = [job for job in task.get_jobs() if str(job.type) == "ground_truth"]
    assert job.frame_count == len(job.get_meta().included_frames) == 2
