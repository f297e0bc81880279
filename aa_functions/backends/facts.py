"""What is known of an exported network without loading its checkpoint.

Loading a checkpoint needs torch and Ultralytics, whose import takes seconds. So the first run with
a checkpoint keeps what later runs need of it beside the export.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import frozen

FORMAT = 1


@frozen(kw_only=True)
class NetworkFacts:
    """A detection network whose boxes overlap, so that NMS has to choose among them."""

    names: Mapping[int, str]
    """Names of the classes by number."""
    imgsz: int | tuple[int, int]
    """Input size in pixels: the longer side, or height and width."""
    stride: int
    """The sides of the input are multiples of this many pixels."""

    def input_size(self, imgsz: int | tuple[int, int] | None) -> tuple[int, int]:
        """Return the height and width of the input, rounded up to the stride.

        >>> NetworkFacts(names={}, imgsz=640, stride=32).input_size(500)
        (512, 512)
        """
        chosen = self.imgsz if imgsz is None else imgsz
        height, width = (chosen, chosen) if isinstance(chosen, int) else chosen
        return self._round_up(height), self._round_up(width)

    def _round_up(self, pixels: int) -> int:
        return max(-(-pixels // self.stride), 1) * self.stride


def facts_of(checkpoint: Any) -> NetworkFacts | None:
    """Return the facts of a checkpoint; None if it needs Ultralytics' own post-processing.

    Args:
        checkpoint: What `load_checkpoint` returned.
    """
    from ultralytics.models.yolo.detect import DetectionPredictor

    network = checkpoint.model
    is_plain = (
        checkpoint.task == "detect"
        and issubclass(checkpoint.task_map[checkpoint.task]["predictor"], DetectionPredictor)
        and not getattr(network, "end2end", False)
        and int(getattr(network, "yaml", {}).get("channels", 3)) == 3
    )
    if not is_plain:
        return None
    imgsz = checkpoint.overrides.get("imgsz", 640)
    return NetworkFacts(
        names={int(number): str(name) for number, name in checkpoint.names.items()},
        imgsz=imgsz if isinstance(imgsz, int) else (int(imgsz[0]), int(imgsz[-1])),
        stride=max(int(network.stride.max()), 32),
    )


def read_facts(path: Path) -> NetworkFacts | None:
    """Return what `write_facts` wrote; None if that file is missing or not usable."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            imgsz = content["imgsz"]
            return NetworkFacts(
                names={int(number): str(name) for number, name in content["names"].items()},
                imgsz=int(imgsz) if isinstance(imgsz, int) else (int(imgsz[0]), int(imgsz[1])),
                stride=int(content["stride"]),
            )
    return None


def write_facts(path: Path, facts: NetworkFacts) -> None:
    """Write the facts into a file. If it cannot be written, the next run loads the checkpoint."""
    content = {
        "format": FORMAT,
        "names": facts.names,
        "imgsz": facts.imgsz,
        "stride": facts.stride,
    }
    part = path.with_name(f".{path.name}-{uuid4().hex}")
    with suppress(OSError):
        part.write_text(json.dumps(content), encoding="utf-8")
        os.replace(part, path)
