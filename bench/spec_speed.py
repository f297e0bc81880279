"""Measure matching, and validating and remapping against the SDK's mapper.

`python -m bench.spec_speed` prints one line for each measurement. All run on one core.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk import models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, validate_frame
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import SpecMismatch
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.model.labels import labels_of_rows, labels_of_spec

RECTANGLES = 2_000
LABELS = 2_000
ROUNDS = 5


def spec_of(names: list[str]) -> cvataa.DetectionFunctionSpec:
    return cvataa.DetectionFunctionSpec(
        labels=[cvataa.label_spec(name, index) for index, name in enumerate(names)]
    )


def task_labels(names: list[str]) -> list[models.Label]:
    return [
        models.Label(name=name, id=10_000 + index, type="any", attributes=[], sublabels=[])
        for index, name in enumerate(names)
    ]


def rectangles() -> list[models.LabeledShapeRequest]:
    return [
        cvataa.rectangle(index % 80, [1.5, 2.5, 30.25, 40.75], score=0.75)
        for index in range(RECTANGLES)
    ]


def seconds(prepare: Callable[[], Any], measure: Callable[[Any], Any]) -> float:
    """Return the median processor time, which other programs on the machine do not affect."""
    times = []
    for _ in range(ROUNDS):
        prepared = prepare()
        begin = time.process_time()
        measure(prepared)
        times.append(time.process_time() - begin)
    return statistics.median(times)


def rows_of(labels: list[models.Label]) -> list[dict[str, Any]]:
    """Return labels as `GET /api/labels` does."""
    return [label.to_dict() for label in labels]


def main() -> None:
    names = [f"label {index}" for index in range(80)]
    spec, labels = spec_of(names), task_labels(names)
    match = match_spec(labels_of_spec(spec), labels_of_rows(rows_of(labels)))
    mapper = _AnnotationMapper(
        logging.getLogger("bench"),
        spec.labels,
        labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=False,
    )
    frame = Frame(number=7, name="a.jpg", width=640, height=480, chunk=0, job_ids=(1,))

    def ours(objects: Any, validation: ValidationOptions) -> None:
        outcome = Outcome(frame=frame, detections=read_output(objects))
        outcome = remap_frame(validate_frame(outcome, match, validation), match, RemapOptions())
        assert len(outcome.annotations or ()) == RECTANGLES

    def show(what: str, taken: float) -> None:
        print(f"{what:<48}{RECTANGLES / taken:>12,.0f} rectangles/s")

    keep, clip = ValidationOptions(), ValidationOptions(geometry="clip")
    show("read, validate, remap", seconds(rectangles, lambda shapes: ours(shapes, keep)))
    show("read, validate, remap, clip", seconds(rectangles, lambda shapes: ours(shapes, clip)))
    show(
        "the SDK's validate_and_remap",
        seconds(rectangles, lambda shapes: mapper.validate_and_remap(shapes, 7)),
    )

    many = [f"label {index:04d}" for index in range(LABELS)]
    mine = labels_of_spec(spec_of(many))
    same = labels_of_rows(rows_of(task_labels(many)))
    other = labels_of_rows(rows_of(task_labels([f"lable {index:05d}" for index in range(LABELS)])))

    def mismatch(_: Any) -> None:
        try:
            match_spec(mine, other)
        except SpecMismatch as error:
            str(error)

    matching = seconds(lambda: None, lambda _: match_spec(mine, same))
    print(f"{f'match {LABELS:,} labels':<48}{matching:>12.3f} s")
    failing = seconds(lambda: None, mismatch)
    print(f"{f'match {LABELS:,} labels, all different':<48}{failing:>12.3f} s")
    reading = seconds(lambda: rows_of(task_labels(many)), labels_of_rows)
    print(f"{f'read {LABELS:,} labels of CVAT':<48}{reading:>12.3f} s")


if __name__ == "__main__":
    main()
