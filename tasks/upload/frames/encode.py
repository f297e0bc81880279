"""Encode the annotations of a frame for CVAT. The frame fails if CVAT could not read one back."""

from __future__ import annotations

import json
import math
from collections.abc import Collection

from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.upload.frames.frame import EncodedAnnotation, PendingFrame
from cvat_flows.tasks.upload.frames.groups import JobGroups

_to_json = json.JSONEncoder(separators=(",", ":")).encode
"""`json.dumps` makes an encoder for each call."""
MAX_SOURCE_LENGTH = 16
"""Characters. CVAT answers 500 to a longer source."""


def encode_frame(
    outcome: Outcome,
    *,
    job_frames: Collection[int],
    names: LabelNames,
    groups: JobGroups | None = None,
) -> PendingFrame:
    """Encode a frame's annotations.

    The frame fails if CVAT would store an annotation but could not read it back. `job_frames` are
    the frames of the job: CVAT accepts any frame number in a job. `groups` gives each group a
    number in the job.
    """
    frame = PendingFrame(outcome=outcome, failure=outcome.failure)
    if outcome.failure:
        return frame
    annotations = outcome.annotations
    if annotations is None:
        raise ValueError(f"{outcome.frame}: neither annotations nor a failure")
    if outcome.frame.number not in job_frames:
        frame.fail(_failure(f"frame {outcome.frame.number} is not in the job"))
        return frame
    for index, annotation in enumerate(annotations):
        problem = _problem(annotation, outcome.frame.number)
        if problem:
            frame.fail(_failure(f"annotation {index} ({annotation.type}) {problem}", index))
            break
        body = annotation_to_json(annotation)
        wanted = digest(body, names)
        if label := names.by_id.get(annotation.label_id):
            frame.labels[wanted] = label.name
        if groups:
            groups.assign(frame.number, body)
        frame.wanted.append(
            EncodedAnnotation(
                index=index,
                kind="tags" if annotation.type == TAG else "shapes",
                digest=wanted,
                body=_to_json(body).encode(),
            )
        )
    return frame


def _problem(annotation: Annotation, frame: int) -> str | None:
    """Find what CVAT does not check, or answers with a bare 500."""
    parts = (annotation, *annotation.elements)
    if any(part.frame != frame for part in parts):
        return f"has a frame number other than its frame {frame}; it would damage the task"
    if not all(0 < len(part.source) <= MAX_SOURCE_LENGTH for part in parts):
        return f"has a source that is not 1 to {MAX_SOURCE_LENGTH} characters long"
    if not all(_is_finite(part) for part in parts):
        return "has a coordinate that is not a finite number"
    return None


def _is_finite(part: Annotation) -> bool:
    return math.isfinite(part.rotation) and all(map(math.isfinite, part.points))


def _failure(error: str, index: int | None = None) -> Failure:
    return Failure(step="upload", error=error, error_type="NotUploadable", annotation_index=index)
