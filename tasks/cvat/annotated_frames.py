"""Find the frames of a CVAT job that have annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from cvat_sdk import Client

from cvat_flows.tasks.cvat.annotation_json import TRACKS, iter_with_tracks
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.model.media import JobRange


def annotated_frames(client: Client, job: JobRange) -> set[int]:
    """Return the frames of a job that have a tag, a shape or a visible track.

    Raises CvatRefused and CvatUnavailable.
    """
    found: set[int] = set()
    body = JobAnnotations(client=client, job_id=job.id).read_bytes()
    for kind, item in iter_with_tracks(body):
        if kind == TRACKS:
            found.update(visible_frames(item, last=job.last))
        else:
            found.add(item["frame"])
    return found


def visible_frames(track: Mapping[str, Any], *, last: int) -> Iterator[int]:
    """Yield the frames on which a track is visible; some may come twice.

    Between two keyframes CVAT shows what the first one says. The last keyframe is valid up to the
    last frame of the job.

    Args:
        track: A track in CVAT's JSON.
        last: Last frame of the job.
    """
    keyframes = sorted(track.get("shapes") or (), key=lambda shape: shape["frame"])
    if not keyframes:  # a skeleton that has only keypoints
        for element in track.get("elements") or ():
            yield from visible_frames(element, last=last)
        return
    for shape, following in pairwise([*keyframes, None]):
        if shape is not None and not shape.get("outside"):
            end = last if following is None else min(last, following["frame"] - 1)
            yield from range(shape["frame"], end + 1)
