"""Train the project's YOLOv8n on synthetic shapes and measure it on held-out pictures.

    python -m aa_functions.training.train_shapes --work-dir build/shapes

This writes `shapes-yolov8n.pt` and `shapes-yolov8n.json` to `aa_functions/weights`. It takes about
ten minutes on two CPU cores and needs no network.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.processors import cpu_cores
from aa_functions.training.datasets import write_dataset
from aa_functions.training.shape_images import LABELS, SIZES, make_shape_images

BATCH = 16
SMALL_SIZES = ((320, 240), (320, 180), (320, 320), (240, 320))
HELD_OUT_SEED = 91_000
DEFAULT_IMGSZ = 320
"""Input size of the model in pixels: the one with the best precision."""
WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"


@frozen(kw_only=True)
class Stage:
    """One training run. It starts from the weights of the stage before."""

    name: str
    imgsz: int
    epochs: int
    learning_rate: float
    mosaic: float = 1.0
    """Probability that four pictures are put together to one."""
    scale: float = 0.5
    """By how much, at most, pictures are made larger or smaller at random."""
    pictures_per_step: int = 64
    """Gradients of so many pictures are added up before the weights change."""
    warmup_bias_lr: float = 0.1
    """Learning rate of the biases at the start. The default is for SGD. Adam's steps are as long as
    the learning rate, so there it undoes what the biases were."""


# Training at a small size is fast. The second stage adapts the model to the size of predictions.
STAGES = (
    Stage(name="160", imgsz=160, epochs=25, learning_rate=2e-3),
    Stage(name="320", imgsz=320, epochs=3, learning_rate=7e-4),
)
TRAINING_SEED = 1
TRAINING_IMAGES = 800


def main() -> None:
    """Train the model, strip the checkpoint and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, required=True, help="folder for images and runs")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FOLDER, help="folder for the result")
    arguments = parser.parse_args()
    work_dir: Path = arguments.work_dir.resolve()
    started = time.monotonic()
    trained = train(work_dir)
    seconds = time.monotonic() - started
    target = arguments.out / "shapes-yolov8n.pt"
    strip(trained, target, "detect", DEFAULT_IMGSZ)
    report = {
        "labels": list(LABELS),
        "training": {"seconds": round(seconds), "cpu_cores": cpu_cores()},
        "held_out": measure(target, work_dir),
    }
    target.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def train(work_dir: Path) -> Path:
    """Run all stages; return the checkpoint of the last."""
    data = _pictures(
        work_dir / f"images-{TRAINING_SEED}", TRAINING_IMAGES, TRAINING_SEED, SMALL_SIZES
    )
    weights = Path("yolov8n.yaml")
    for stage in STAGES:
        weights = train_stage(weights, stage, data, work_dir)
    return weights


def train_stage(weights: Path, stage: Stage, data: Path, work_dir: Path) -> Path:
    """Train from a checkpoint, or the YAML of a network; return the new checkpoint."""
    # By default Ultralytics leaves one core unused.
    model = import_ultralytics().YOLO(str(weights))
    model.add_callback("on_train_start", _use_all_cores)
    model.train(
        data=str(data),
        epochs=stage.epochs,
        imgsz=stage.imgsz,
        batch=BATCH,
        nbs=stage.pictures_per_step,
        optimizer="AdamW",
        lr0=stage.learning_rate,
        mosaic=stage.mosaic,
        scale=stage.scale,
        close_mosaic=min(10, stage.epochs // 2),
        warmup_bias_lr=stage.warmup_bias_lr,
        auto_augment=None,
        erasing=0,
        warmup_epochs=min(3.0, stage.epochs / 4),
        amp=False,
        workers=0,
        cache="ram",
        val=False,
        plots=False,
        verbose=False,
        seed=0,
        device="cpu",
        project=str(work_dir),
        name=f"stage-{stage.name}",
        exist_ok=True,
    )
    return work_dir / f"stage-{stage.name}" / "weights" / "last.pt"


def _use_all_cores(trainer: object) -> None:
    import torch

    torch.set_num_threads(cpu_cores())


def _pictures(folder: Path, count: int, seed: int, sizes: Sequence[tuple[int, int]]) -> Path:
    pictures = make_shape_images(count, seed=seed, sizes=sizes)
    return write_dataset(folder, pictures, kind="detect", labels=LABELS)


def strip(checkpoint: Path, target: Path, kind: str, imgsz: int) -> None:
    """Write a checkpoint with the weights in half precision and without traces of the machine.

    Args:
        checkpoint: What the training wrote.
        target: The file to write.
        kind: The kind of the model, which Ultralytics calls its task.
        imgsz: The default input size, in pixels.
    """
    import torch

    # Unpickling is safe: this process wrote the checkpoint.
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=False)
    model = content.get("ema") or content["model"]
    model.half()
    for parameter in model.parameters():
        parameter.requires_grad = False
    network = Path(model.yaml["yaml_file"]).name
    model.yaml["yaml_file"] = network
    model.args = {"task": kind, "model": network, "imgsz": imgsz}
    model.criterion = None
    model.pt_path = target.name
    kept = {
        "epoch": -1,
        "model": model,
        "train_args": dict(model.args),
        "version": content["version"],
        "license": "AGPL-3.0",
        "docs": "https://docs.ultralytics.com",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(kept, target)


def measure(weights: Path, work_dir: Path) -> list[dict[str, Any]]:
    """Return the mAP on held-out pictures for several sizes of pictures and of input."""
    ultralytics = import_ultralytics()
    sets = (
        ("320x240", ((320, 240),), (320, 640)),
        ("1280x720", ((1280, 720),), (320, 640)),
        ("all sizes", SIZES, (320, 480, 640)),
    )
    rows = []
    for offset, (title, sizes, inputs) in enumerate(sets):
        seed = HELD_OUT_SEED + offset
        dataset = _pictures(work_dir / f"images-{seed}", 200, seed, sizes)
        for imgsz in inputs:
            metrics = ultralytics.YOLO(str(weights)).val(
                data=str(dataset), imgsz=imgsz, batch=8, workers=0, plots=False, verbose=False,
                device="cpu", project=str(work_dir), name="measure", exist_ok=True,
            )  # fmt: skip
            rows.append(
                {
                    "pictures": title,
                    "count": 200,
                    "imgsz": imgsz,
                    "map50": round(float(metrics.box.map50), 4),
                    "map50_95": round(float(metrics.box.map), 4),
                }
            )
    return rows


if __name__ == "__main__":
    main()
