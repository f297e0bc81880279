"""YOLO models of every kind annotate CVAT tasks.

CVAT then holds what the function returns, and that is what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from cvat_sdk import models

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

from aa_functions.training.figures import KEYPOINTS
from aa_functions.training.shape_images import make_shape_images
from aa_functions.yolo import create
from tests.support.yolo_truth import SHARES, is_found
from tests.support.yolo_weights import DRAWN, WEIGHTS

CONF = 0.2
FRAMES = 12
SVG = "".join(
    f'<circle r="1.5" cx="{10 + 20 * n}" cy="50" data-type="element node" data-element-id="{n}" '
    f'data-node-id="{n}" data-label-name="{name}"></circle>'
    for n, name in enumerate(KEYPOINTS, 1)
)


def label_request(label: Any) -> models.PatchedLabelRequest:
    if label.type != "skeleton":
        return models.PatchedLabelRequest(name=label.name)
    points = [models.SublabelRequest(name=one.name, type="points") for one in label.sublabels]
    return models.PatchedLabelRequest(name=label.name, type="skeleton", svg=SVG, sublabels=points)


def summary(annotation: Any, names: dict[int, str], parts: dict[int, str]) -> Any:
    """Return what must be the same in CVAT and in the function's answer, with names for ids."""
    name = names[annotation.label_id]
    type_ = getattr(getattr(annotation, "type", None), "value", "tag")
    if type_ == "tag":
        return ("tag", name)
    # CVAT gives a skeleton the points of its parts; the function gives it none.
    points = [] if type_ == "skeleton" else np.round(annotation.points, 1).tolist()
    elements = sorted(
        (parts[one.label_id], one.outside, np.round(one.points, 1).tolist())
        for one in getattr(annotation, "elements", None) or ()
    )
    return (type_, name, points, round(getattr(annotation, "rotation", 0) or 0, 1), elements)


@pytest.mark.parametrize("kind", ["polygons", *WEIGHTS])
def test_cvat_holds_what_the_function_returns(
    kind: str,
    make_task: Callable[..., Any],
    annotate: Callable[..., Any],
    tmp_path: Path,
) -> None:
    model = "segment" if kind == "polygons" else kind
    pictures = list(make_shape_images(FRAMES, seed=80_002, sizes=((320, 240),), **DRAWN[model]))
    paths = []
    for number, made in enumerate(pictures):
        paths.append(tmp_path / f"{number:02}.png")
        made.image.save(paths[-1])
    parameters = {"model": str(WEIGHTS[model]), "backend": "torch", "workers": 1}
    function = create(**parameters)
    labels = function.spec.labels
    conf = 0.0 if kind == "classify" else CONF
    to_polygons = kind == "polygons"
    task = make_task(labels=[label_request(one) for one in labels], images=paths)

    options = {
        "function": "aa_functions.yolo",
        "function_parameters": parameters,
        "conf_threshold": conf,
        "conv_mask_to_poly": to_polygons,
    }

    finished = annotate(task, **options)

    assert finished.error is None
    assert finished.report.count("annotated") == FRAMES
    names = {one.id: one.name for one in labels}
    parts = {part.id: part.name for one in labels for part in getattr(one, "sublabels", None) or ()}
    wanted = [
        (frame, summary(one, names, parts))
        for frame, path in enumerate(paths)
        for one in function.detect(
            SimpleNamespace(
                frame_name=path.name, conf_threshold=conf, conv_mask_to_poly=to_polygons
            ),
            PIL.Image.open(path),
        )
    ]
    assert wanted
    held = task.get_annotations()
    theirs = task.get_labels()
    names = {one.id: one.name for one in theirs}
    parts = {part.id: part.name for one in theirs for part in one.sublabels}
    found = [(one.frame, summary(one, names, parts)) for one in [*held.shapes, *held.tags]]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    assert annotate(task, **options).report.count("skipped") == FRAMES
    hits = [
        is_found(
            kind,
            drawn,
            [one for one in [*held.shapes, *held.tags] if one.frame == frame],
            made.image,
            names,
            parts,
        )
        for frame, made in enumerate(pictures)
        for drawn in made.boxes
    ]
    assert sum(hits) >= SHARES[kind] * len(hits), f"{sum(hits)} of {len(hits)}"
