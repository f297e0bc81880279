"""Image and video files: what an import makes of them, and chunks of them."""

from __future__ import annotations

import io
import mimetypes
import shutil
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


def take_any_picture() -> None:
    """Have Pillow read pictures of any size, and damaged ones as far as they go, as CVAT does.

    It holds for the whole process, so this is only for a process that does nothing but serve.
    """
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = True


def unpacked(paths: Iterable[Path], folder: Path) -> list[tuple[str, Path]]:
    """Name and path of each picture among uploaded files (`000000-name`) and in their archives."""
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


def imported(path: Path) -> tuple[bytes, int, int]:
    """What to keep of an image file, and its width and height in pixels; raises as Pillow does.

    That is the file itself, except that a picture lying on its side is put upright and a TIFF is
    written anew.
    """
    with Image.open(path) as image:
        turned = image.getexif().get(ORIENTATION, 1) not in (0, 1)
        if not turned and image.format != "TIFF":
            return path.read_bytes(), image.width, image.height
        upright, buffer = ImageOps.exif_transpose(image), io.BytesIO()
        how = {"compression": "tiff_lzw"} if image.format == "TIFF" else {"quality": 100}
        upright.save(buffer, image.format, **how)
        return buffer.getvalue(), upright.width, upright.height


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    if image.mode.startswith("I"):  # 16 bits: the upper byte is the picture
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def packed(pictures: Sequence[tuple[str, bytes]]) -> bytes:
    """A chunk of named pictures: members numbered from 0, stored. Same in, same out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, content) in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{number:06d}{PurePath(name).suffix}"), content)
    return buffer.getvalue()


def members(chunk: Path, places: Sequence[int]) -> list[bytes]:
    """The pictures at ascending places in a chunk; those of a clip as PNG."""
    if chunk.suffix == ".mp4":
        frames = enumerate(islice(video_frames(chunk), places[-1] + 1))
        return [encoded(frame, "PNG") for place, frame in frames if place in places]
    with zipfile.ZipFile(chunk) as archive:
        names = archive.namelist()
        return [archive.read(names[place]) for place in places]


def video_frames(path: Path) -> Iterator[Image.Image]:
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            yield frame.to_image()


def write_clip(frames: Sequence[Image.Image], path: Path) -> None:
    """Write frames as H.264, close to lossless; as CVAT does, with even width and height."""
    width, height = (side + side % 2 for side in frames[0].size)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "veryfast"}
        for frame in frames:
            made = av.VideoFrame.from_image(frame).reformat(width, height, "yuv420p")
            container.mux(stream.encode(made))
        container.mux(stream.encode())


def write_clips(
    frames: Iterator[Image.Image], folder: Path, size: int
) -> tuple[int, tuple[int, int]]:
    """Write `0.mp4`, `1.mp4`, ... of `size` frames; gives the count and the pictures' size."""
    count, shape = 0, (0, 0)
    pending: list[Image.Image] = []
    for frame in frames:
        pending, count, shape = [*pending, frame], count + 1, frame.size
        if len(pending) == size:
            write_clip(pending, folder / f"{count // size - 1}.mp4")
            pending = []
    if pending:
        write_clip(pending, folder / f"{count // size}.mp4")
    return count, shape
