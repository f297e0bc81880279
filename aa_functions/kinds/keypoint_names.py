"""Names of a model's keypoints: given, read from a file, or of the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aa_functions.errors import YoloOptionError, describe
from aa_functions.kinds.kind import ModelInfo

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""The keypoints of the pose models that Ultralytics publishes."""
FILE_ENDINGS = (".txt", ".json", ".yaml", ".yml")


def keypoint_names(
    info: ModelInfo, given: str | Path | Sequence[str] | None
) -> Mapping[int, tuple[str, ...]]:
    """Return the names of the keypoints of each class.

    Args:
        info: The model. If nothing is given, its own names count; a model with 17 keypoints that
            has none and knows only persons has those of COCO, and any other one numbers.
        given: The names, as a list or as a text with commas; or a file with one name a line
            (*.txt), or a list of names (*.json, *.yaml), which may be the entry `kpt_names`.

    Raises:
        YoloOptionError: if the names do not fit the model, or the file cannot be read.
    """
    assert info.keypoint_shape is not None
    count = info.keypoint_shape[0]
    if given is None:
        numbers = tuple(map(str, range(count)))
        is_coco = count == len(COCO) and list(info.labels.values()) == ["person"]
        default = COCO if is_coco else numbers
        own = {
            number: tuple(map(str, info.keypoint_names.get(number, numbers)))
            for number in info.labels
        }
        # Ultralytics numbers the keypoints of a data set without names.
        return {
            number: names if len(names) == count and names != numbers else default
            for number, names in own.items()
        }
    names = _read(given)
    if len(names) != count:
        raise YoloOptionError(
            f"The option keypoints has {len(names)} names ({', '.join(names)}), but the model "
            f"'{info.name}' has {count} keypoints; give one name for each."
        )
    for name in names:
        if not name or names.count(name) > 1:
            what = f"the name {name!r} twice" if name else "an empty name"
            raise YoloOptionError(f"The option keypoints has {what}; give each its own name.")
    return dict.fromkeys(info.labels, names)


def _read(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) and not given.lower().endswith(FILE_ENDINGS):
        return tuple(name.strip() for name in given.split(","))
    if isinstance(given, str | Path):
        return _read_file(Path(given))
    return tuple(str(name).strip() for name in given)


def _read_file(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = _parse(text, path.suffix.lower())
    except OSError as error:
        raise YoloOptionError(
            f"The option keypoints names the file '{path}', which cannot be read "
            f"({error.strerror})."
        ) from error
    except ValueError as error:
        raise YoloOptionError(
            f"The file '{path}' of the option keypoints cannot be parsed ({describe(error)})."
        ) from error
    if isinstance(content, Mapping):
        content = content.get("kpt_names", content)
    if isinstance(content, Mapping):  # names by class: they are the same for all
        content = next(iter(content.values()), None)
    if not isinstance(content, list) or not all(isinstance(name, str | int) for name in content):
        raise YoloOptionError(f"The file '{path}' of the option keypoints has no list of names.")
    return tuple(str(name).strip() for name in content)


def _parse(text: str, ending: str) -> Any:
    if ending == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if ending == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
