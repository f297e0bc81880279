"""A checkpoint of each kind of YOLO model that is not the shipped one's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aa_functions.backends.ultralytics_import import import_ultralytics

FOLDER = Path(__file__).parents[1] / "assets" / "weights"
KINDS = ("segment", "obb", "pose", "classify")
_LARGE: dict[str, Any] = {"extent": (0.2, 0.6), "shapes": (1, 4)}
DRAWN: Mapping[str, dict[str, Any]] = {
    "detect": {},
    "segment": _LARGE,
    "obb": {**_LARGE, "labels": ("bar", "arrow")},
    "pose": {**_LARGE, "labels": ("arrow",), "overhang": 0.3},
    "classify": {"extent": (0.4, 0.95), "shapes": (1, 1)},
}
"""Options of `make_shape_images` for what the model of a kind was trained on."""


def weights_of_kinds(folder: Path) -> Mapping[str, Path]:
    """Return the checkpoint of each kind.

    There is none for tags: that model gets random weights, in `folder`.
    """
    import torch

    torch.manual_seed(3)
    tags = folder / "random-cls.pt"
    import_ultralytics().YOLO("yolov8n-cls.yaml").save(tags)
    return {
        "segment": FOLDER / "shapes-seg.pt",
        "obb": FOLDER / "arrows-obb.pt",
        "pose": FOLDER / "arrows-pose.pt",
        "classify": tags,
    }
