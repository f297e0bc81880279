"""Check what a function returned for a frame, before anything of it is sent anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from attrs import evolve, frozen

from cvat_flows.tasks.check.errors import (
    BadOutputError,
    GeometryError,
    RejectedShapeError,
    TooManyShapesError,
)
from cvat_flows.tasks.check.geometry import ImageSize, clip, find_defect
from cvat_flows.tasks.check.protocol import check_detection
from cvat_flows.tasks.check.read_output import detections_to_json
from cvat_flows.tasks.check.server_rules import find_problem
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome

CLIPPED = "clipped"
"""Key of `Outcome.counts`: shapes that the geometry policy changed."""
DROPPED = "dropped"
"""Key of `Outcome.counts`: shapes that the geometry policy took out."""
LONGEST_DETAIL = 2000
"""Characters; a mask can have a hundred thousand numbers."""


@frozen(kw_only=True)
class ValidationOptions:
    """What is allowed beyond the protocol, and what is done about odd geometry."""

    geometry: Literal["keep", "clip", "drop", "fail"] = "keep"
    """Shapes that leave the image, are inverted or have no area: leave them (the SDK's way), cut
    them off at the border, take them out, or fail the frame."""
    missing_keypoints: Literal["error", "outside"] = "error"
    """A skeleton that lacks some of the task's keypoints: fail the frame (the SDK's way), or have
    them added when remapping, marked outside."""
    max_shapes_per_frame: int | None = 10_000
    """More annotations on a frame fail it; None for no limit."""
    task_size: int | None = None
    """Number of frames of the CVAT task, if frames are to be checked against it: CVAT drops what
    lies beyond silently, or stores it where nobody sees it (CVAT_FACTS 5)."""


def validate_frame(outcome: Outcome, match: SpecMatch, options: ValidationOptions) -> Outcome:
    """Check a frame's detections; what breaks a rule comes back as a failure of the frame.

    Where the geometry policy changes detections, the outcome has the changed ones and `counts`
    says how many. An outcome without detections, or with a failure, comes back as it is.
    """
    if outcome.detections is None or outcome.failure is not None:
        return outcome
    try:
        check_frame_number(outcome.frame, options)
        check_detections(outcome.detections, match, options)
        detections, counts = apply_geometry(
            outcome.detections, match, options.geometry, outcome.frame
        )
    except BadOutputError as error:
        return evolve(outcome, failure=failure_of(error, outcome.detections))
    if not counts:
        return outcome
    return evolve(outcome, detections=detections, counts=add_counts(outcome.counts, counts))


def check_detections(
    detections: Iterable[Detection],
    match: SpecMatch,
    options: ValidationOptions | None = None,
) -> None:
    """Check the protocol's rules, then the server's.

    Raises BadOutputError for the first violation of the protocol, the one that the SDK's driver
    raises; if there is none, RejectedShapeError for the first shape that CVAT would not take.
    """
    options = options or ValidationOptions()
    limit = options.max_shapes_per_frame
    missing_keypoints = options.missing_keypoints == "outside"
    rejected: RejectedShapeError | None = None
    for index, detection in enumerate(detections):
        if limit is not None and index >= limit:
            raise TooManyShapesError(
                f"the function returned more than {limit:,} annotations for one frame; raise"
                " conf_threshold or max_shapes_per_frame"
            )
        try:
            label = check_detection(detection, match, missing_keypoints=missing_keypoints)
        except BadOutputError as error:
            error.index = index
            raise
        if label is not None and rejected is None:
            problem = find_problem(detection, label)
            if problem is not None:
                rejected = RejectedShapeError(problem, index)
    if rejected is not None:
        raise rejected


def check_frame_number(frame: Frame, options: ValidationOptions) -> None:
    """Raises RejectedShapeError if the CVAT task has no such frame."""
    size = options.task_size
    if frame.number < 0 or (size is not None and frame.number >= size):
        raise RejectedShapeError(
            f"frame {frame.number} is not in the task, which has {size} frames; plan it again"
        )


def apply_geometry(
    detections: tuple[Detection, ...],
    match: SpecMatch,
    policy: Literal["keep", "clip", "drop", "fail"],
    frame: Frame,
) -> tuple[tuple[Detection, ...], dict[str, int]]:
    """Do what the policy says with shapes that leave the image, are inverted or have no area.

    Shapes that are dropped anyway because of their label stay. Raises GeometryError if the policy
    is `fail`.
    """
    if policy == "keep":
        return detections, {}
    size = ImageSize(width=frame.width, height=frame.height)
    kept: list[Detection] = []
    counts: dict[str, int] = {}
    for index, detection in enumerate(detections):
        stays: Detection | None = detection
        if match.labels[detection.label_id] is not None:
            # When clipping, nothing at all may stick out.
            tolerance = {"tolerance": 0.0} if policy == "clip" else {}
            defect = find_defect(detection, size, **tolerance)
            if defect is not None and policy == "fail":
                raise GeometryError(
                    f"function output {detection.type} that {defect}"
                    f" ({_numbers(detection)}; the image is {size}); geometry='clip' or 'drop'"
                    " would go on",
                    index,
                )
            if defect is not None:
                stays = clip(detection, size) if policy == "clip" else None
        if stays is None:
            counts[DROPPED] = counts.get(DROPPED, 0) + 1
            continue
        if stays is not detection and stays != detection:
            counts[CLIPPED] = counts.get(CLIPPED, 0) + 1
        kept.append(stays)
    return tuple(kept), counts


def add_counts(known: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Both sets of counts in a new one."""
    return {key: known.get(key, 0) + more.get(key, 0) for key in [*known, *more]}


def failure_of(error: BadOutputError, detections: tuple[Detection, ...]) -> Failure:
    """A failure that keeps the SDK's wording: whoever matches on it finds it."""
    index = error.index
    where = "" if index is None else f"annotation {index}: "
    detail = ""
    if index is not None and index < len(detections):
        detail = json.dumps(detections_to_json([detections[index]])[0], default=repr)
    return Failure(
        step="validate",
        error=f"{where}{error}",
        error_type=type(error).__name__,
        detail=detail[:LONGEST_DETAIL],
        annotation_index=index,
    )


def _numbers(shape: Detection) -> str:
    points = shape.points or tuple(p for element in shape.elements for p in element.points)
    shown = [f"{point:.6g}" for point in points[:8]] + (["..."] if len(points) > 8 else [])
    return "points " + ", ".join(shown)
