"""Between the pixels of the network's input and those of the image."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from aa_functions.kinds.kind import ImageShapes


@frozen(kw_only=True)
class Letterbox:
    """How an image lies in the network's input: scaled, and with padding around it."""

    gain_x: float
    gain_y: float
    left: int
    top: int

    @classmethod
    def of(cls, shapes: ImageShapes) -> Letterbox:
        """Return where Ultralytics puts an image.

        >>> Letterbox.of(ImageShapes(boxed=(640, 640), original=(720, 1280)))
        Letterbox(gain_x=0.5, gain_y=0.5, left=0, top=140)
        """
        height, width = shapes.original
        gain = min(shapes.boxed[0] / height, shapes.boxed[1] / width)
        new_height, new_width = max(round(height * gain), 1), max(round(width * gain), 1)
        return cls(
            gain_x=new_width / width,
            gain_y=new_height / height,
            left=round((shapes.boxed[1] - new_width) / 2 - 0.1),
            top=round((shapes.boxed[0] - new_height) / 2 - 0.1),
        )

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Scale points (..., 2) of the input to the image."""
        shift = np.array([self.left, self.top], np.float32)
        gain = np.array([self.gain_x, self.gain_y], np.float32)
        scaled: np.ndarray = (points - shift) / gain
        return scaled


def clip_points(points: np.ndarray, original: tuple[int, int]) -> np.ndarray:
    """Move points (..., 2) outside the image to its border."""
    height, width = original
    clipped: np.ndarray = np.clip(points, 0, np.array([width, height], np.float32))
    return clipped


def boxes_to_image(boxes: np.ndarray, shapes: ImageShapes) -> np.ndarray:
    """Scale boxes (n, 4), corners in pixels of the input, to the image, and clip them to it."""
    corners = Letterbox.of(shapes).to_image(boxes.reshape(-1, 2, 2))
    return clip_points(corners, shapes.original).reshape(-1, 4)
