"""Read and write image files, video files and chunks."""

from __future__ import annotations

import io
import mimetypes
import shutil
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path, PurePath

import av
from PIL import Image, ImageFile, ImageOps

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
ORIENTATION = 0x0112
LYING = range(5, 9)
"""Orientations that exchange width and height."""

Files = list[tuple[str, Path]]
"""Name in CVAT and path of each image file."""


def read_pictures_as_cvat() -> None:
    """Make Pillow read truncated pictures as far as possible. It refuses over 178,956,970 pixels.

    This changes Pillow for the whole process, so call it only in the server's process.
    """
    # From half of its limit on Pillow warns.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    ImageFile.LOAD_TRUNCATED_IMAGES = True


def unpack(paths: Iterable[Path], folder: Path) -> Files:
    """Return the pictures among uploaded files (`000000-name`) and in their archives.

    Args:
        paths: The uploaded files.
        folder: Archives are unpacked into it.
    """
    found = []
    for path in paths:
        name = path.name.split("-", 1)[1]
        if not name.lower().endswith(ARCHIVES):
            found.append((name, path))
            continue
        target = folder / path.name.split(".")[0]
        shutil.unpack_archive(path, target)
        for member in sorted(target.rglob("*")):
            if (mimetypes.guess_type(member.name)[0] or "").startswith("image/"):
                found.append((member.relative_to(target).as_posix(), member))
    return found


def import_picture(path: Path) -> tuple[bytes, int, int]:
    """Return the bytes to keep of an image file, and the width and height that CVAT reports.

    The bytes are those of the file, with two exceptions, as in CVAT: a picture with an EXIF
    orientation is turned upright, and a TIFF is encoded again. Of a TIFF that lies on its side CVAT
    reports the size as stored, and not that of the upright picture. Raises Pillow's errors.
    """
    with Image.open(path) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation in (0, 1) and image.format != "TIFF":
            return path.read_bytes(), image.width, image.height
        upright, buffer = ImageOps.exif_transpose(image), io.BytesIO()
        options = {"compression": "tiff_lzw"} if image.format == "TIFF" else {"quality": 100}
        upright.save(buffer, image.format, **options)
        width, height = upright.size
        if image.format == "TIFF" and orientation in LYING:
            width, height = height, width
        return buffer.getvalue(), width, height


def encode(image: Image.Image, file_format: str = "JPEG", **options: int) -> bytes:
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper byte
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, file_format, **options)
    return buffer.getvalue()


def pack_chunk(pictures: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a ZIP chunk of named pictures. Equal pictures give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, content) in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{number:06d}{PurePath(name).suffix}"), content)
    return buffer.getvalue()


def read_chunk(chunk: Path, places: Sequence[int]) -> list[bytes]:
    """Return the pictures at these ascending places in a chunk; PNGs if it is a video."""
    if chunk.suffix == ".mp4":
        frames = enumerate(islice(video_frames(chunk), places[-1] + 1))
        return [encode(frame, "PNG") for place, frame in frames if place in places]
    with zipfile.ZipFile(chunk) as archive:
        names = archive.namelist()
        return [archive.read(names[place]) for place in places]


def video_frames(path: Path) -> Iterator[Image.Image]:
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            yield frame.to_image()


def write_video(frames: Sequence[Image.Image], path: Path) -> None:
    """Write frames as nearly lossless H.264 with even width and height, as CVAT does."""
    width, height = (side + side % 2 for side in frames[0].size)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "veryfast"}
        for frame in frames:
            video_frame = av.VideoFrame.from_image(frame).reformat(width, height, "yuv420p")
            container.mux(stream.encode(video_frame))
        container.mux(stream.encode())


def write_video_chunks(
    frames: Iterator[Image.Image], folder: Path, chunk_size: int
) -> tuple[int, tuple[int, int]]:
    """Write `0.mp4`, `1.mp4`, ... of `chunk_size` frames each.

    Returns:
        The number of frames, and the width and height of a frame.
    """
    count, size = 0, (0, 0)
    pending: list[Image.Image] = []
    for frame in frames:
        pending.append(frame)
        count, size = count + 1, frame.size
        if len(pending) == chunk_size:
            write_video(pending, folder / f"{count // chunk_size - 1}.mp4")
            pending = []
    if pending:
        write_video(pending, folder / f"{count // chunk_size}.mp4")
    return count, size
