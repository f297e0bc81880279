"""Write synthetic pictures and their truth as data sets that Ultralytics trains on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from aa_functions.training.figures import KEYPOINTS, Point
from aa_functions.training.shape_images import ShapeImage, TrueBox

KEYPOINT_TOLERANCE = 0.15
"""How far a keypoint may be off, as a share of the object's size. Ultralytics allows 0.25 for four
keypoints, and models then hardly learn where these are."""


def write_dataset(
    folder: Path, pictures: Iterable[ShapeImage], *, kind: str, labels: Sequence[str]
) -> Path:
    """Write a data set unless it is there; return its path for `train(data=...)`.

    Args:
        folder: Where to write it.
        pictures: What to write; not read if the data set is there.
        kind: Kind of the model: `detect`, `segment`, `obb`, `pose` or `classify`. For `classify`
            the first shape of a picture is its class.
        labels: The classes.
    """
    done = folder / "data.yaml"
    if not done.exists():
        for index, made in enumerate(pictures):
            if kind == "classify":
                # Ultralytics insists on pictures for a validation.
                part = "val" if index % 20 == 0 else "train"
                target = folder / part / made.boxes[0].label / f"{index:05}.jpg"
            else:
                target = folder / "images" / f"{index:05}.jpg"
                lines = "".join(f"{line(box, made, kind, labels)}\n" for box in made.boxes)
                (folder / "labels").mkdir(parents=True, exist_ok=True)
                (folder / "labels" / f"{index:05}.txt").write_text(lines)
            target.parent.mkdir(parents=True, exist_ok=True)
            made.image.save(target, quality=90)
        done.write_text(_description(folder, kind, labels))
    return folder if kind == "classify" else done


def line(box: TrueBox, made: ShapeImage, kind: str, labels: Sequence[str]) -> str:
    """Return the truth of one shape as a line of Ultralytics' label files."""
    width, height = made.image.size
    values = [labels.index(box.label)]
    if kind == "segment":
        points: Sequence[Point] = box.outline
    elif kind == "obb" and box.rotated is not None:
        points = box.rotated.corners()
    else:
        xtl, ytl = max(box.xtl, 0), max(box.ytl, 0)
        xbr, ybr = min(box.xbr, width), min(box.ybr, height)
        points = [((xtl + xbr) / 2, (ytl + ybr) / 2), (xbr - xtl, ybr - ytl)]
    texts = [f"{x / width:.6f} {y / height:.6f}" for x, y in points]
    if kind == "pose":
        texts += [
            f"{x / width:.6f} {y / height:.6f} 2" if 0 <= x < width and 0 <= y < height else "0 0 0"
            for x, y in box.keypoints
        ]
    return " ".join([*map(str, values), *texts])


def _description(folder: Path, kind: str, labels: Sequence[str]) -> str:
    names = "".join(f"  {index}: {label}\n" for index, label in enumerate(labels))
    text = f"path: {folder}\ntrain: images\nval: images\nnames:\n{names}"
    if kind != "pose":
        return text
    swapped = {"left": "right", "right": "left"}
    mirrored = [KEYPOINTS.index(swapped.get(name, name)) for name in KEYPOINTS]
    per_label = "".join(f"  {index}: {list(KEYPOINTS)}\n" for index in range(len(labels)))
    tolerances = [KEYPOINT_TOLERANCE] * len(KEYPOINTS)
    return (
        f"{text}kpt_shape: [{len(KEYPOINTS)}, 3]\nkpt_oks_sigmas: {tolerances}\n"
        f"flip_idx: {mirrored}\nkpt_names:\n{per_label}"
    )
