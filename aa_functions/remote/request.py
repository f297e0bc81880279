"""The body of a request: the image as base64, and the threshold."""

from __future__ import annotations

import base64
import io

import orjson
import PIL.Image

from aa_functions.pictures import to_rgb

IMAGE_FORMATS = ("auto", "jpeg", "png")
_JPEG_QUALITY = 95


def request_body(
    image: PIL.Image.Image, threshold: float | None, image_format: str = "auto"
) -> bytes:
    """Return the JSON that a Nuclio detector of CVAT takes.

    Args:
        image: Of any mode; it is sent as RGB with 8 bits a channel (`aa_functions.to_rgb`).
        threshold: The least confidence, 0 to 1. None: the function's own default.
        image_format: `png` keeps every pixel. `jpeg` is smaller and quicker. `auto` encodes a JPEG
            again with its own tables, which changes few pixels by a few levels, and all else as
            PNG.

    >>> body = request_body(PIL.Image.new("L", (8, 6)), 0.5)
    >>> sorted(orjson.loads(body))
    ['image', 'threshold']
    """
    content = io.BytesIO()
    if image_format == "auto" and image.format == "JPEG" and image.mode == "RGB":
        image.save(content, "JPEG", quality="keep")
    elif image_format == "jpeg":
        to_rgb(image).save(content, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        to_rgb(image).save(content, "PNG", compress_level=1)
    fields: dict[str, str | float] = {"image": base64.b64encode(content.getbuffer()).decode()}
    if threshold is not None:
        fields["threshold"] = threshold
    return orjson.dumps(fields)
