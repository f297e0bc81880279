"""Check a function's output for a frame before anything is uploaded."""

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
from cvat_flows.tasks.check.geometry import (
    TOLERANCE,
    ImageSize,
    clip,
    find_defect,
    is_degenerate,
)
from cvat_flows.tasks.check.protocol import check_detection
from cvat_flows.tasks.check.read_output import detections_to_json
from cvat_flows.tasks.check.server_rules import find_problem
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome

CLIPPED = "clipped"
"""Key of `Outcome.counts`: shapes that the geometry policy changed."""
DROPPED = "dropped"
"""Key of `Outcome.counts`: shapes that the geometry policy dropped."""
MAX_DETAIL_LENGTH = 2000
"""Characters of `Failure.detail`. A mask can have a hundred thousand numbers."""

GeometryPolicy = Literal["keep", "clip", "drop", "fail"]


@frozen(kw_only=True)
class ValidationOptions:
    """Options of `validate_frame`."""

    geometry: GeometryPolicy = "keep"
    """What to do with shapes that leave the image, are inverted or have no area: keep them, as the
    SDK does, clip them at the border, drop them, or fail the frame."""
    missing_keypoints: Literal["error", "outside"] = "error"
    """What to do with skeletons that lack some of the task's keypoints: fail the frame, as the SDK
    does, or let `remap_frame` add the keypoints, marked outside."""
    max_shapes_per_frame: int | None = 10_000
    """A frame with more annotations fails; None for no limit."""
    task_size: int | None = None
    """Number of frames in the CVAT task; None to skip this check. CVAT silently drops annotations
    on frames beyond the end, or stores them where nobody sees them."""


def validate_frame(outcome: Outcome, match: SpecMatch, options: ValidationOptions) -> Outcome:
    """Check a frame's detections. If one breaks a rule, the returned outcome has a failure.

    If the geometry policy changes or drops detections, the outcome has the new ones, and `counts`
    says how many were changed and dropped. An outcome without detections, or with a failure, is
    returned unchanged.
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
        return evolve(outcome, failure=_to_failure(error, outcome.detections))
    if not counts:
        return outcome
    return evolve(outcome, detections=detections, counts=add_counts(outcome.counts, counts))


def check_detections(
    detections: Iterable[Detection],
    match: SpecMatch,
    options: ValidationOptions | None = None,
) -> None:
    """Check the rules of the protocol and of the server.

    Raises BadOutputError for the first violation of the protocol, as the SDK's driver does. If
    there is none, raises RejectedShapeError for the first shape that CVAT would not accept.
    """
    options = options or ValidationOptions()
    limit = options.max_shapes_per_frame
    allow_missing = options.missing_keypoints == "outside"
    drops = options.geometry in ("drop", "clip")
    rejected: RejectedShapeError | None = None
    for index, detection in enumerate(detections):
        if limit is not None and index >= limit:
            raise TooManyShapesError(
                f"the function returned more than {limit:,} annotations for one frame; raise"
                " --conf-threshold or --max-shapes-per-frame"
            )
        try:
            label = check_detection(detection, match, allow_missing_keypoints=allow_missing)
        except BadOutputError as error:
            error.index = index
            raise
        if label is not None and rejected is None and not (drops and is_degenerate(detection)):
            problem = find_problem(detection, label)
            if problem is not None:
                rejected = RejectedShapeError(problem, index)
    if rejected is not None:
        raise rejected


def check_frame_number(frame: Frame, options: ValidationOptions) -> None:
    """Raise RejectedShapeError if the CVAT task does not have the frame."""
    size = options.task_size
    if frame.number < 0 or (size is not None and frame.number >= size):
        raise RejectedShapeError(
            f"frame {frame.number} is not in the task, which has {size} frames; run this again"
        )


def apply_geometry(
    detections: tuple[Detection, ...],
    match: SpecMatch,
    policy: GeometryPolicy,
    frame: Frame,
) -> tuple[tuple[Detection, ...], dict[str, int]]:
    """Apply the policy to shapes that leave the image, are inverted or have no area.

    Shapes whose label is dropped are kept as they are. Raises GeometryError if the policy is
    `fail` and a shape has such a defect.

    Returns:
        The new detections, and the counts of clipped and dropped shapes.
    """
    if policy == "keep":
        return detections, {}
    size = ImageSize(width=frame.width, height=frame.height)
    kept: list[Detection] = []
    counts: dict[str, int] = {}
    for index, detection in enumerate(detections):
        result: Detection | None = detection
        if match.labels[detection.label_id] is not None:
            result = _apply_to_shape(detection, index, policy, size)
        if result is None:
            counts[DROPPED] = counts.get(DROPPED, 0) + 1
            continue
        if result is not detection and result != detection:
            counts[CLIPPED] = counts.get(CLIPPED, 0) + 1
        kept.append(result)
    return tuple(kept), counts


def _apply_to_shape(
    shape: Detection, index: int, policy: GeometryPolicy, size: ImageSize
) -> Detection | None:
    # Clipping leaves nothing outside the image, not even by the tolerance.
    defect = find_defect(shape, size, tolerance=0.0 if policy == "clip" else TOLERANCE)
    if defect is None:
        return shape
    if policy == "fail":
        raise GeometryError(
            f"function output {shape.type} that {defect} ({_format_points(shape)}; the image is"
            f" {size}); use --geometry clip or --geometry drop to accept it",
            index,
        )
    return clip(shape, size) if policy == "clip" else None


def add_counts(known: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Return the sums of two sets of counts."""
    return {key: known.get(key, 0) + more.get(key, 0) for key in [*known, *more]}


def _to_failure(error: BadOutputError, detections: tuple[Detection, ...]) -> Failure:
    """Return the failure of a frame. It keeps the SDK's wording, which users may search for."""
    index = error.index
    where = "" if index is None else f"annotation {index}: "
    detail = ""
    if index is not None and index < len(detections):
        detail = json.dumps(detections_to_json([detections[index]])[0], default=repr)
    return Failure(
        step="validate",
        error=f"{where}{error}",
        error_type=type(error).__name__,
        detail=detail[:MAX_DETAIL_LENGTH],
        annotation_index=index,
    )


def _format_points(shape: Detection) -> str:
    points = shape.points or tuple(p for element in shape.elements for p in element.points)
    shown = [f"{point:.6g}" for point in points[:8]] + (["..."] if len(points) > 8 else [])
    return "points " + ", ".join(shown)
