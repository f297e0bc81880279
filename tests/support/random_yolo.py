"""YOLO networks of any family with random weights that find something.

The weights of a new network make all its outputs nearly alike, and its scores nearly 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from aa_functions.backends.letterbox import box_image
from aa_functions.backends.ultralytics_import import import_ultralytics

IMGSZ = 160
CANDIDATES = 60
"""Boxes of an image with a score above `SCORE`, before overlapping ones are dropped."""
SCORE = 0.3
_SPREAD = {"box_head": 4.0, "cls_head": 2.0}
"""Factors of the last layers' weights: boxes and scores then differ from place to place."""


def make_random_yolo(
    network: str,
    folder: Path,
    pictures: Sequence[PIL.Image.Image],
    *,
    imgsz: int = IMGSZ,
    labels: Sequence[str] = (),
    keypoints: int | None = None,
) -> Path:
    """Save a checkpoint with random weights, which finds boxes on the pictures.

    Args:
        network: The name of Ultralytics' description, such as `yolo11n-obb.yaml`.
        folder: Where to save it.
        pictures: The network is adapted to them. All of one size.
        imgsz: The input size that it is adapted to, in pixels.
        labels: The classes. Empty: as many as the description has, with numbers for names.
        keypoints: How many, for `pose`. None: as many as the description has.
    """
    import torch

    torch.manual_seed(5)
    ultralytics = import_ultralytics()
    is_rtdetr = "rtdetr" in network
    described = _describe(network, folder, labels, keypoints) if labels else network
    checkpoint = (ultralytics.RTDETR if is_rtdetr else ultralytics.YOLO)(str(described))
    model = checkpoint.model
    if labels:
        model.names = dict(enumerate(labels))
    _bake_in_classes(checkpoint)
    batch = torch.stack([_input(picture, imgsz, stretch=is_rtdetr) for picture in pictures])
    with torch.no_grad():
        _fit_normalization(model, batch)
    if checkpoint.task != "classify":
        _adapt_scores(model, batch)
    path = folder / f"random-{Path(network).stem}.pt"
    checkpoint.save(path)
    return path


def _describe(network: str, folder: Path, labels: Sequence[str], keypoints: int | None) -> Path:
    """Write the description of the network with other numbers of classes and keypoints."""
    from ultralytics.nn.tasks import yaml_model_load
    from ultralytics.utils import YAML

    description = yaml_model_load(network) | {"nc": len(labels)}
    if keypoints is not None:
        description["kpt_shape"] = [keypoints, 3]
    path = folder / network
    YAML.save(path, description)
    return path


def _adapt_scores(model: Any, batch: Any) -> None:
    import torch

    with torch.no_grad():
        head = model.model[-1]
        _spread(head)
        scores = _scores(model, batch)
        wanted = torch.logit(torch.tensor(SCORE)) - torch.logit(scores)
        for bias in _score_biases(head):
            bias += wanted


def _input(picture: PIL.Image.Image, imgsz: int, *, stretch: bool) -> Any:
    import torch

    if stretch:
        picture = picture.resize((imgsz, imgsz))
    pixels = np.ascontiguousarray(box_image(picture, (imgsz, imgsz), 32).boxed[..., ::-1])
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _bake_in_classes(checkpoint: Any) -> None:
    """Give a network that is asked for words three classes, with random features of the words."""
    import torch

    model, names = checkpoint.model, ["car", "dog", "tree"]
    features = torch.nn.functional.normalize(torch.randn(1, len(names), 512), dim=-1)
    if hasattr(model, "txt_feats"):
        model.txt_feats = features
        model.model[-1].nc = len(names)
        model.names = dict(enumerate(names))
    elif hasattr(model, "set_vocab"):
        model.set_classes(names, features)


def _fit_normalization(model: Any, batch: Any) -> None:
    """Set the mean and variance of each layer to those of the pictures."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    model.train()
    if type(model.model[-1]).__name__ == "RTDETRDecoder":
        model.model[-1].eval()
    model.predict(batch)
    model.eval()


def _spread(head: Any) -> None:
    for layer in getattr(head, "dec_score_head", ()):
        layer.weight *= _SPREAD["cls_head"]
    for branch in _branches(head):
        for name, factor in _SPREAD.items():
            for level in branch[name]:
                level[-1].weight *= factor


def _branches(head: Any) -> list[dict[str, Any]]:
    if not hasattr(head, "one2many"):
        return []
    has_two = getattr(head, "one2one_cv2", None) is not None
    return [head.one2many, *([head.one2one] if has_two else [])]


def _score_biases(head: Any) -> Iterator[Any]:
    """Yield what is added to all scores before they are made 0 to 1."""
    if hasattr(head, "dec_score_head"):
        for layer in head.dec_score_head:
            yield layer.bias
    words = getattr(head, "cv4", None) if type(head).__name__.startswith(("World", "YOLOE")) else ()
    for level in words or ():
        yield level.bias
    if not words:
        for branch in _branches(head):
            for level in branch["cls_head"]:
                yield level[-1].bias[: head.nc]


def _scores(model: Any, batch: Any) -> Any:
    """Return the score that at least `CANDIDATES` boxes of each picture exceed."""
    output = model(batch)
    while isinstance(output, (list, tuple)):
        output = output[0]
    if output.shape[1] > output.shape[2]:  # one row a box: corners, score, class
        best = output[..., 4]
    else:
        best = output[:, 4 : 4 + len(model.names)].amax(1)
    return best.sort(1, descending=True).values[:, min(CANDIDATES, best.shape[1] - 1)].min()
