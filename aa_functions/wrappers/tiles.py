"""Where the tiles of an image lie, and cutting them out."""

from __future__ import annotations

from collections.abc import Iterator

import PIL.Image
import PIL.ImageOps
from attrs import frozen
from PIL.ExifTags import Base

from aa_functions.pictures import is_deep, to_rgb


@frozen(kw_only=True)
class Tile:
    """A part of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Return this part of the image, or the image itself if it is all of it."""
        if image.size == (self.width, self.height):
            return image
        return image.crop((self.left, self.top, self.left + self.width, self.top + self.height))


def tiles_of(width: int, height: int, *, tile: int, overlap: float) -> list[Tile]:
    """Return square tiles that cover an image, row by row.

    Neighbours overlap by at least the given share. They are spread evenly, so none leaves the
    image. A side of the image that is shorter than a tile is not divided.

    Args:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        tile: Side of a tile, in pixels.
        overlap: Share of a tile's side, 0 to 0.9.

    >>> [(one.left, one.top) for one in tiles_of(1000, 640, tile=640, overlap=0.2)]
    [(0, 0), (360, 0)]
    >>> tiles_of(320, 240, tile=640, overlap=0.2)
    [Tile(left=0, top=0, width=320, height=240)]
    """
    return [
        Tile(left=left, top=top, width=min(tile, width), height=min(tile, height))
        for top in _starts(height, tile, overlap)
        for left in _starts(width, tile, overlap)
    ]


def _starts(length: int, tile: int, overlap: float) -> Iterator[int]:
    if length <= tile:
        yield 0
        return
    stride = max(1, int(tile * (1 - overlap)))
    steps = -(-(length - tile) // stride)
    yield from ((length - tile) * step // steps for step in range(steps + 1))


def ready_to_cut(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image whose parts look like the whole.

    An EXIF orientation is applied: a part would be turned again. Grey of more than 8 bits becomes
    RGB, scaled by the largest value of the whole image. Raises PictureError.
    """
    if image.getexif().get(Base.Orientation, 1) != 1:
        image = PIL.ImageOps.exif_transpose(image)
    return to_rgb(image) if is_deep(image) else image
