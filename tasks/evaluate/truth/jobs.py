"""Read the truth from jobs of a CVAT task, and decide what in them is people's word.

The rule:

- In a finished job (state completed, or stage validation or acceptance, and not rejected) every
  annotation is true, also one that a function made: a person has said that the job is right.
- An annotation that was uploaded after that is not, as long as it and the job are unchanged: nobody
  has looked at it. Its frame is left out.
- In a job that is chosen and not finished, an annotation that a function made and nobody has
  changed is not true: its source is `auto`, or the manifest records it and it is unchanged. A frame
  with such an annotation is left out, because nobody can say what is missing on it. So is a frame
  without any annotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, cast

from attrs import field, frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.annotation_json import (
    TRACKS,
    Kind,
    annotation_of_json,
    iter_with_tracks,
)
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.evaluate.truth.tracks import shapes_of_track
from cvat_flows.tasks.evaluate.truth.truth import TrueObject, Truth
from cvat_flows.tasks.evaluate.truth.untouched import Untouched
from cvat_flows.tasks.model.media import JobState, TaskMedia
from cvat_flows.tasks.model.text import counted

AUTOMATIC = "auto"
"""The source of annotations that a function made and nobody has changed in CVAT."""
_Unchanged = Literal["", "auto", "late"]
"""What is known of an annotation: a person made or changed it, a function made it, or a function
made it after the last change of the job by anybody else."""


@frozen(kw_only=True)
class JobToRead:
    """A job and its frames."""

    state: JobState
    frames: Collection[int]
    is_trusted: bool
    """Everything in it is true."""


@frozen(kw_only=True, eq=False)
class _Read:
    objects: list[TrueObject] = field(factory=list)
    frames: set[int] = field(factory=set)
    left_out: Counter[str] = field(factory=Counter)


def read_jobs(
    client: Client,
    media: TaskMedia,
    jobs: Iterable[JobToRead],
    *,
    source: str,
    untouched: Untouched,
) -> Truth:
    """Read the truth from jobs. A frame that several of them share counts in the first one.

    Raises NoTruth if people have looked at no frame, CvatRefused and CvatUnavailable.
    """
    read = _Read()
    for job in jobs:
        _add(read, job, _objects(client, job.state, untouched), media.deleted_frames)
    if not read.frames:
        reasons = _notes(read.left_out)
        raise NoTruth(
            f"task {media.task_id}: people have annotated no frame of the {source}"
            + (f" ({'; '.join(reasons)})" if reasons else "")
            + ": finish a job in CVAT, or choose others with --truth-jobs"
        )
    return Truth(
        source=source,
        frames=frozenset(read.frames),
        objects=read.objects,
        notes=tuple(_notes(read.left_out)),
    )


def _objects(
    client: Client, job: JobState, untouched: Untouched
) -> Iterator[tuple[TrueObject, _Unchanged]]:
    """Yield the objects of a job, and whether a function made them and nobody changed them."""
    late = untouched.runs_since_people(job)
    body = JobAnnotations(client=client, job_id=job.id).read_bytes()
    for kind, item in iter_with_tracks(body):
        is_automatic = item.get("source") == AUTOMATIC
        if kind == TRACKS:
            for shape in shapes_of_track(item, last=job.last):
                yield TrueObject(annotation=shape, id=item["id"]), "auto" if is_automatic else ""
        else:
            runs = untouched.runs_of(job.id, cast(Kind, kind), item)
            unchanged: _Unchanged = "auto" if is_automatic or runs else ""
            one = TrueObject(annotation=annotation_of_json(item), id=item["id"])
            yield one, "late" if runs & late else unchanged


def _add(
    read: _Read,
    job: JobToRead,
    objects: Iterable[tuple[TrueObject, _Unchanged]],
    deleted: Collection[int],
) -> None:
    frames = set(job.frames) - read.frames - set(deleted)
    by_frame: dict[int, list[TrueObject]] = {}
    automatic, late = set(), set()
    for one, unchanged in objects:
        frame = one.annotation.frame
        if frame in frames:
            by_frame.setdefault(frame, []).append(one)
            if unchanged:
                automatic.add(frame)
            if unchanged == "late":
                late.add(frame)
    if job.is_trusted:
        read.left_out["late"] += len(late)
        frames -= late
    else:
        read.left_out["unchanged"] += len(automatic)
        read.left_out["empty"] += len(frames - set(by_frame))
        frames = set(by_frame) - automatic
    read.frames.update(frames)
    for frame in sorted(frames):
        read.objects.extend(by_frame.get(frame, ()))


def _notes(left_out: Counter[str]) -> list[str]:
    notes = []
    if left_out["unchanged"]:
        notes.append(
            f"{counted(left_out['unchanged'], 'frame')} of unfinished jobs left out: a function's "
            "annotations on them are unchanged, so nobody may have looked at them"
        )
    if left_out["late"]:
        notes.append(
            f"{counted(left_out['late'], 'frame')} of finished jobs left out: a function annotated "
            "them after people had finished the job, and nobody has changed the job since"
        )
    if left_out["empty"]:
        notes.append(
            f"{counted(left_out['empty'], 'frame')} of unfinished jobs left out: nothing is on them"
        )
    return notes
