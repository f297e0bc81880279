"""What is known of an exported network without loading its checkpoint.

Loading a checkpoint needs torch and Ultralytics, whose import takes seconds. So the first run with
a checkpoint keeps what later runs need of it beside the export.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import asdict, frozen

from aa_functions.kinds.kind import ModelInfo

FORMAT = 2


@frozen(kw_only=True)
class NetworkFacts:
    """A network whose images are prepared as `aa_functions.backends.letterbox` does."""

    info: ModelInfo
    imgsz: int | tuple[int, int]
    """Input size in pixels: the longer side, or height and width."""
    stride: int
    """The sides of the input are multiples of this many pixels."""

    def input_size(self, imgsz: int | tuple[int, int] | None) -> tuple[int, int]:
        """Return the height and width of the input, rounded up to the stride.

        >>> info = ModelInfo(name="cars.pt", task="detect", labels={0: "car"})
        >>> NetworkFacts(info=info, imgsz=640, stride=32).input_size(500)
        (512, 512)
        """
        chosen = self.imgsz if imgsz is None else imgsz
        height, width = (chosen, chosen) if isinstance(chosen, int) else chosen
        return self._round_up(height), self._round_up(width)

    def _round_up(self, pixels: int) -> int:
        return max(-(-pixels // self.stride), 1) * self.stride


def facts_of(checkpoint: Any, info: ModelInfo) -> NetworkFacts | None:
    """Return the facts of a checkpoint; None if Ultralytics has to prepare its images.

    Args:
        checkpoint: What `load_checkpoint` returned.
        info: What `model_info` returned.
    """
    network = checkpoint.model
    if int(getattr(network, "yaml", {}).get("channels", 3)) != 3:
        return None
    is_prepared_here = _is_cropped_here if info.task == "classify" else _is_boxed_here
    if not is_prepared_here(checkpoint):
        return None
    imgsz = checkpoint.overrides.get("imgsz", 640)
    return NetworkFacts(
        info=info,
        imgsz=imgsz if isinstance(imgsz, int) else (int(imgsz[0]), int(imgsz[-1])),
        stride=max(int(network.stride.max()), 32),
    )


def _is_boxed_here(checkpoint: Any) -> bool:
    """Return whether images are letterboxed. RT-DETR stretches them."""
    from ultralytics.models.yolo.detect import DetectionPredictor

    return issubclass(checkpoint.task_map[checkpoint.task]["predictor"], DetectionPredictor)


def _is_cropped_here(checkpoint: Any) -> bool:
    """Return whether the centre of the image is the input, scaled with the default filter."""
    transforms = getattr(checkpoint.model, "transforms", None)
    if transforms is None:
        return True
    return str(transforms.transforms[0].interpolation.value) == "bilinear"


def read_facts(path: Path) -> NetworkFacts | None:
    """Return what `write_facts` wrote; None if that file is missing or not usable."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            imgsz = content["imgsz"]
            return NetworkFacts(
                info=_read_info(content["info"]),
                imgsz=int(imgsz) if isinstance(imgsz, int) else (int(imgsz[0]), int(imgsz[1])),
                stride=int(content["stride"]),
            )
    return None


def _read_info(content: Any) -> ModelInfo:
    """Undo what JSON does to the keys of mappings and to tuples."""
    shape = content["keypoint_shape"]
    names = content["keypoint_names"]
    return ModelInfo(
        **content
        | {
            "labels": {int(number): str(name) for number, name in content["labels"].items()},
            "keypoint_shape": None if shape is None else (int(shape[0]), int(shape[1])),
            "keypoint_names": {int(number): list(own) for number, own in names.items()},
        }
    )


def write_facts(path: Path, facts: NetworkFacts) -> None:
    """Write the facts into a file. If it cannot be written, the next run loads the checkpoint."""
    content = {"format": FORMAT, **asdict(facts)}
    part = path.with_name(f".{path.name}-{uuid4().hex}")
    with suppress(OSError):
        part.write_text(json.dumps(content), encoding="utf-8")
        os.replace(part, path)
