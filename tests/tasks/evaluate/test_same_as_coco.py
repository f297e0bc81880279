"""The average precisions are those of the COCO benchmark, as another library computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from cvat_flows.tasks.evaluate.compare.likeness import find_pairs
from cvat_flows.tasks.evaluate.compare.objects import Objects, objects_of
from cvat_flows.tasks.evaluate.evaluation import compare, evaluate
from cvat_flows.tasks.model.annotations import Annotation
from tests.tasks.evaluate.scenes import SIZE, polygon, random_boxes


def coco_of(objects: Objects, frames: int, *, scores: bool) -> dict[str, Any]:
    rows = []
    for n, shape in enumerate(objects.shapes):
        left, top, right, bottom = objects.box[n].tolist()
        row = {
            "id": n + 1,
            "image_id": shape.frame,
            "category_id": shape.label_id,
            "bbox": [left, top, right - left, bottom - top],
            "area": float(objects.area[n]),
            "iscrowd": 0,
        }
        if shape.type == "polygon":
            row["segmentation"] = [list(shape.points)]
        if scores:
            row["score"] = shape.score
        rows.append(row)
    return {
        "images": [{"id": n, "width": SIZE[0], "height": SIZE[1]} for n in range(frames)],
        "categories": [{"id": n, "name": str(n)} for n in range(1, 5)],
        "annotations": rows,
    }


def expected(found: Objects, true: Objects, frames: int, kind: str) -> tuple[float, float]:
    """Return AP50-95 and AP50 of the other library, without a limit of detections an image."""
    truth = COCO(coco_of(true, frames, scores=False))
    results = truth.loadRes(coco_of(found, frames, scores=True)["annotations"])
    other = COCOeval_faster(truth, results, kind, print_function=lambda *_: None)
    other.params.maxDets = [1, 10, 100_000]
    other.evaluate()
    other.accumulate()
    precision = other.eval["precision"][:, :, :, 0, 2]
    return float(precision[precision > -1].mean()), float(precision[0][precision[0] > -1].mean())


@pytest.mark.parametrize(("count", "frames"), [(1, 1), (60, 3), (900, 60), (600, 2)])
def test_boxes(count: int, frames: int) -> None:
    found, true = random_boxes(count, frames, seed=count)
    overall = evaluate(compare(found, true, frames=range(frames), sizes={})).overall
    ap, ap50 = expected(found, true, frames, "bbox")
    assert overall.ap50_95 == pytest.approx(ap, abs=1e-6)
    assert overall.ap50 == pytest.approx(ap50, abs=1e-6)


def test_polygons() -> None:
    found, true = random_boxes(300, 20, seed=8)

    def rough(one: Annotation) -> Annotation:
        a, b, c, d = np.clip(one.points, 0, 470)
        points = (a, b, (a + c) / 2, max(b - 4, 0), c, b, c, d, a + 1, d)
        return polygon(one.frame, one.label_id, points, one.score)

    found, true = (objects_of([rough(one) for one in side.shapes]) for side in (found, true))
    sizes = dict.fromkeys(range(20), SIZE)
    overall = evaluate(compare(found, true, frames=range(20), sizes=sizes)).overall
    ap, ap50 = expected(found, true, 20, "segm")
    assert overall.ap50_95 == pytest.approx(ap, abs=1e-6)
    assert overall.ap50 == pytest.approx(ap50, abs=1e-6)


def test_objects_of_different_frames_are_never_alike() -> None:
    found, true = random_boxes(500, 40, seed=3)
    pairs = find_pairs(found, true, {})
    assert len(pairs.found) > 100
    assert (found.frame[pairs.found] == true.frame[pairs.true]).all()
