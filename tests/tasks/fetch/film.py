"""Small videos for tests."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import PIL.Image


def film(path: Path, count: int, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a video with `count` frames of a moving pattern."""
    base = np.random.default_rng(2).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for n in range(count):
            image = PIL.Image.fromarray(np.roll(base, n, axis=1)).resize(size)
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
