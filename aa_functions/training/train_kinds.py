"""Train the project's small models of the other kinds: masks, rotated boxes, skeletons, tags.

    python -m aa_functions.training.train_kinds --work-dir build/kinds --out tests/assets/weights

This writes `shapes-seg.pt`, `arrows-obb.pt`, `arrows-pose.pt` and `shapes-cls.pt`. Each takes about
ten minutes on two CPU cores and needs no network. The networks are half as wide as YOLO's smallest,
so that the files are small.
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
    SMALL_SIZES,
    TRAINING_SEED,
    Stage,
    strip,
    train_stage,
)

WIDTH = 0.125
"""Of the networks' layers; YOLO's smallest models have 0.25."""
PICTURES = 800


@frozen(kw_only=True)
class Recipe:
    """How a model is trained."""

    kind: str
    target: str
    network: str
    labels: tuple[str, ...]
    stages: tuple[Stage, ...]
    pictures: Mapping[str, Any] = field(factory=dict)
    """Options of `make_shape_images`."""


# Without mosaics an epoch takes half the time, and these pictures are varied enough.
STAGES = (
    Stage(name="128", imgsz=128, epochs=18, learning_rate=2e-3, mosaic=0),
    Stage(name="256", imgsz=256, epochs=2, learning_rate=7e-4, mosaic=0),
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
        network="11/yolo11-pose.yaml",
        labels=("arrow",),
        stages=STAGES,
        pictures=LARGE | {"overhang": 0.3},
    ),
    Recipe(
        kind="classify",
        target="shapes-cls.pt",
        network="v8/yolov8-cls.yaml",
        labels=LABELS,
        stages=(Stage(name="96", imgsz=96, epochs=30, learning_rate=2e-3),),
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
    arguments = parser.parse_args()
    for recipe in RECIPES:
        if arguments.kind is None or recipe.kind in arguments.kind:
            started = time.monotonic()
            train(recipe, arguments.work_dir.resolve() / recipe.kind, arguments.out)
            print(f"{recipe.target}: {time.monotonic() - started:.0f} s")


def train(recipe: Recipe, work_dir: Path, out: Path) -> None:
    """Train a model through its stages, and write its checkpoint."""
    pictures = make_shape_images(
        PICTURES, seed=TRAINING_SEED, sizes=SMALL_SIZES, labels=recipe.labels, **recipe.pictures
    )
    data = write_dataset(work_dir / "pictures", pictures, kind=recipe.kind, labels=recipe.labels)
    weights = write_network(recipe, work_dir)
    for stage in recipe.stages:
        weights = train_stage(weights, stage, data, work_dir)
    strip(weights, out / recipe.target, recipe.kind, recipe.stages[-1].imgsz)


def write_network(recipe: Recipe, work_dir: Path) -> Path:
    """Write the description of the narrow network; return its path."""
    ultralytics = import_ultralytics()
    from ultralytics.utils import YAML

    description = YAML.load(Path(ultralytics.__file__).parent / "cfg/models" / recipe.network)
    depth, _, channels = description["scales"]["n"]
    # Ultralytics takes the name of the scale from the name of the file.
    description |= {"scales": {"n": [depth, WIDTH, channels]}, "nc": len(recipe.labels)}
    family, _, kind = Path(recipe.network).stem.partition("-")
    path = work_dir / f"{family}n-{kind}.yaml"
    YAML.save(path, description)
    return path


if __name__ == "__main__":
    main()
