"""How an issue of ours is recognised: its place on the frame, and the last line of its message."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from cvat_flows.tasks.cvat.issues import Issue
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line

_SIDE = 0.06
"""Side of an issue's square, as a share of the shorter side of the image."""


def position_of(media: TaskMedia, frame: int) -> tuple[float, ...]:
    """Return the place of our issue on a frame: a small square in the top left corner.

    It depends on nothing but the size of the image, so that every run finds the issue again.
    """
    side = float(max(8, round(min(media.size_of(frame)) * _SIDE)))
    return (2.0, 2.0, 2.0 + side, 2.0 + side)


def marker_of(media: TaskMedia, frame: int) -> str:
    """Return the last line of our message on a frame.

    Its digits follow from the task, the frame and the place: a copy of the line in another issue
    has the wrong ones.
    """
    place = f"{media.task_id} {frame} {position_of(media, frame)}"
    return f"[cvat-flows {frame}-{blake2b(place.encode(), digest_size=6).hexdigest()}]"


def message_of(media: TaskMedia, frame: int, reasons: Sequence[str], function: str) -> str:
    """Return the message of our issue on a frame."""
    why = ", ".join(reasons)
    return (
        f"Please check this frame: {why} (detections of {on_one_line(function, 100)}).\n"
        f"{marker_of(media, frame)}"
    )


def is_our_place(media: TaskMedia, issue: Issue) -> bool:
    """Return whether the issue is at the place of ours, so that its message has to be read."""
    if not 0 <= issue.frame < media.size:
        return False
    wanted = position_of(media, issue.frame)
    return len(issue.position) == len(wanted) and all(
        abs(a - b) < 0.01 for a, b in zip(issue.position, wanted, strict=True)
    )


def is_our_message(media: TaskMedia, frame: int, message: str) -> bool:
    """Return whether a message on a frame ends with our line."""
    lines = message.strip().splitlines()
    return bool(lines) and lines[-1].strip() == marker_of(media, frame)
