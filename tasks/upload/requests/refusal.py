"""Explain why CVAT does not take the annotations of a frame."""

from __future__ import annotations

import json
from typing import Any

from cvat_flows.tasks.cvat.annotation_json import KINDS
from cvat_flows.tasks.cvat.job_annotations import Reply
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.upload.frames.frame import PendingFrame


def refused_frame(frame: PendingFrame, reply: Reply, *, size: int) -> Failure:
    """Return the failure of a frame whose create was refused.

    Args:
        frame: The frame. It was alone in the request.
        reply: CVAT's answer.
        size: Bytes of the request.
    """
    if reply.status == 413:
        text = f"the frame's annotations are a request of {size / 1000:,.1f} kB, and {reply.text}"
        return _failure(text)
    text, index = _explain(frame, reply)
    return _failure(f"CVAT refused the frame's annotations: {text}", index)


def dropped_annotations(count: int) -> Failure:
    """Return the failure of a frame whose annotations were left out of two answers."""
    return _failure(
        f"CVAT answered 200 but left out {count} of the frame's annotations, twice; check the "
        "frame and its labels in CVAT"
    )


def _failure(error: str, index: int | None = None) -> Failure:
    return Failure(step="upload", error=error, error_type="UploadRefused", annotation_index=index)


def _explain(frame: PendingFrame, reply: Reply) -> tuple[str, int | None]:
    """Return CVAT's error, and the index of the annotation at fault in the outcome.

    For a list of annotations CVAT answers a list of errors of the same length, with an empty error
    for each valid annotation.
    """
    try:
        errors: Any = json.loads(reply.body)
        for kind in KINDS:
            of_kind = [w for w in frame.wanted if w.kind == kind]
            for encoded, error in zip(of_kind, errors.get(kind, []), strict=False):
                if error:
                    sent = json.loads(encoded.body)
                    text = on_one_line(json.dumps(error, ensure_ascii=False), 300)
                    return (
                        f"{sent.get('type', 'tag')} of label id {sent['label_id']}: "
                        f"{text} ({reply.status})",
                        encoded.index,
                    )
    except (ValueError, AttributeError, TypeError):
        pass
    return reply.text, None
