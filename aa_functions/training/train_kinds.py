"""Train the project's small models of the other kinds: masks, rotated boxes, skeletons, tags.

    python -m aa_functions.training.train_kinds --work-dir build/kinds --out tests/assets/weights

This writes `shapes-seg.pt`, `arrows-obb.pt`, `arrows-pose.pt` and `shapes-cls.pt`. Each takes some
minutes on two CPU cores and needs no network. All but the one for tags are half as wide as YOLO's
smallest, so that the files are small. `--start FOLDER` goes on from the weights in that folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.training.datasets import write_dataset
from aa_functions.training.shape_images import LABELS, make_shape_images
from aa_functions.training.train_shapes import (
    BATCH,
    SMALL_SIZES,
    TRAINING_SEED,
    Stage,
    strip,
    train_stage,
)
from aa_functions.weights import SHIPPED_FOLDER

PICTURES = 800


@frozen(kw_only=True)
class Recipe:
    """How a model is trained."""

    kind: str
    target: str
    network: str
    labels: tuple[str, ...]
    stages: tuple[Stage, ...]
    width: float = 0.125
    """Of the network's layers; YOLO's smallest models have 0.25."""
    backbone: Path | None = None
    """Trained weights whose first layers the network starts with, absolute or in the folder of the
    results. None: all are random."""
    pictures: Mapping[str, Any] = field(factory=dict)
    """Options of `make_shape_images`."""


# Without mosaics an epoch takes half the time, and these pictures are varied enough. With a step of
# the optimizer for each batch, few epochs are enough.
_COMMON: dict[str, Any] = {
    "mosaic": 0,
    "scale": 0.25,
    "pictures_per_step": BATCH,
    "warmup_bias_lr": 0,
}
STAGES = (
    Stage(name="128", imgsz=128, epochs=18, learning_rate=2e-3, **_COMMON),
    Stage(name="192", imgsz=192, epochs=4, learning_rate=7e-4, **_COMMON),
)
LARGE = {"extent": (0.2, 0.6), "shapes": (1, 4)}
"""Options of `make_shape_images` for shapes that can be seen at 128 pixels."""
RECIPES = (
    Recipe(
        kind="segment",
        target="shapes-seg.pt",
        network="v8/yolov8-seg.yaml",
        labels=LABELS,
        stages=STAGES,
        pictures=LARGE,
    ),
    Recipe(
        kind="obb",
        target="arrows-obb.pt",
        network="v8/yolov8-obb.yaml",
        labels=("bar", "arrow"),
        stages=STAGES,
        pictures=LARGE,
    ),
    Recipe(
        kind="pose",
        target="arrows-pose.pt",
        network="v8/yolov8-pose.yaml",
        labels=("arrow",),
        stages=(
            Stage(name="128", imgsz=128, epochs=40, learning_rate=2e-3, **_COMMON),
            Stage(name="192", imgsz=192, epochs=8, learning_rate=7e-4, **_COMMON),
        ),
        # Keypoints are learned slowly by layers that cannot find arrows yet.
        backbone=Path("arrows-obb.pt"),
        pictures=LARGE | {"overhang": 0.3},
    ),
    Recipe(
        kind="classify",
        target="shapes-cls.pt",
        network="v8/yolov8-cls.yaml",
        labels=LABELS,
        stages=(Stage(name="96", imgsz=96, epochs=6, learning_rate=1e-3, **_COMMON),),
        # One class for a whole picture says too little for layers that know nothing.
        width=0.25,
        backbone=SHIPPED_FOLDER / "shapes-yolov8n.pt",
        pictures={"shapes": (1, 1), "extent": (0.4, 0.95)},
    ),
)


def main() -> None:
    """Train the models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, required=True, help="folder for images and runs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--kind", nargs="+", choices=[recipe.kind for recipe in RECIPES], help="only these"
    )
    parser.add_argument(
        "--start", type=Path, help="folder with weights to go on from, in place of random ones"
    )
    arguments = parser.parse_args()
    for recipe in RECIPES:
        if arguments.kind is None or recipe.kind in arguments.kind:
            started = time.monotonic()
            work_dir = arguments.work_dir.resolve() / recipe.kind
            train(recipe, work_dir, arguments.out, start=arguments.start)
            print(f"{recipe.target}: {time.monotonic() - started:.0f} s")


def train(recipe: Recipe, work_dir: Path, out: Path, *, start: Path | None = None) -> None:
    """Train a model through its stages, and write its checkpoint.

    Args:
        recipe: How.
        work_dir: For pictures and runs.
        out: Folder of the checkpoint.
        start: Folder with a checkpoint of the same name to start from. None: from random weights.
    """
    pictures = make_shape_images(
        PICTURES, seed=TRAINING_SEED, sizes=SMALL_SIZES, labels=recipe.labels, **recipe.pictures
    )
    data = write_dataset(work_dir / "pictures", pictures, kind=recipe.kind, labels=recipe.labels)
    weights = write_network(recipe, work_dir, out) if start is None else start / recipe.target
    for stage in recipe.stages:
        weights = train_stage(weights, stage, data, work_dir)
    strip(weights, out / recipe.target, recipe.kind, recipe.stages[-1].imgsz)


def write_network(recipe: Recipe, work_dir: Path, out: Path) -> Path:
    """Write the network that the training starts with, or its description; return the path."""
    ultralytics = import_ultralytics()
    from ultralytics.utils import YAML

    description = YAML.load(Path(ultralytics.__file__).parent / "cfg/models" / recipe.network)
    depth, _, channels = description["scales"]["n"]
    # Ultralytics takes the name of the scale from the name of the file.
    description |= {"scales": {"n": [depth, recipe.width, channels]}, "nc": len(recipe.labels)}
    family, _, kind = Path(recipe.network).stem.partition("-")
    path = work_dir / f"{family}n-{kind}.yaml"
    YAML.save(path, description)
    if recipe.backbone is None:
        return path
    start = work_dir / "start.pt"
    ultralytics.YOLO(str(path)).load(out / recipe.backbone).save(start)
    return start


if __name__ == "__main__":
    main()
