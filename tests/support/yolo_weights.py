"""A checkpoint of each kind of YOLO model that is not the shipped one's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "assets" / "weights"
WEIGHTS: Mapping[str, Path] = {
    "segment": _FOLDER / "shapes-seg.pt",
    "obb": _FOLDER / "arrows-obb.pt",
    "pose": _FOLDER / "arrows-pose.pt",
    "classify": _FOLDER / "shapes-cls.pt",
}
_LARGE: dict[str, Any] = {"extent": (0.2, 0.6), "shapes": (1, 4)}
DRAWN: Mapping[str, dict[str, Any]] = {
    "detect": {},
    "segment": _LARGE,
    "obb": {**_LARGE, "labels": ("bar", "arrow")},
    "pose": {**_LARGE, "labels": ("arrow",), "overhang": 0.3},
    "classify": {"extent": (0.4, 0.95), "shapes": (1, 1)},
}
"""Options of `make_shape_images` for what the model of a kind was trained on."""
