"""Review what became of the annotations that functions uploaded to one CVAT task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.evaluate.acceptance.fates import Fate, fates_of_job
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import WHEN_FINISHED, JobState, TaskMedia
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.history import read_history
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import (
    OPTIONS_DIGITS,
    FrameRecord,
    RunStamp,
    manifest_folder,
)
from cvat_flows.tasks.record.uploads import read_changes, runs_since_people
from cvat_flows.tasks.storage import Storage

Detections = Mapping[int, Sequence[Annotation]]
"""What a function detects, by frame number."""
UNKNOWN = "(unknown)"
"""The label of an annotation that was deleted, if nothing says what was uploaded."""


@frozen(kw_only=True)
class ReviewRow:
    """What became of one annotation, with names in place of ids."""

    task_id: int
    function: str
    job_id: int
    frame: int
    what: str
    label: str
    new_label: str
    uploaded: str
    """ISO 8601; "" if a person added it."""
    likeness: float | None
    fingerprint: str = ""
    """Of the function that annotated the frame. "" if several versions did, or an unknown one."""
    options: str = ""
    """Digest of the options that it had. "" as above."""


@frozen(kw_only=True, eq=False)
class UploadedWork:
    """What the manifests say that functions uploaded to the finished jobs of a task."""

    media: TaskMedia
    labels: Sequence[Label]
    manifests: Mapping[str, Manifest]
    """By function."""
    records: Mapping[str, Mapping[int, Mapping[int, FrameRecord]]]
    """By function, job and frame."""
    late: int = 0
    """Frames that were left out: their jobs are finished, and nobody has changed them since the
    upload."""

    def frames(self, function: str) -> list[int]:
        """Return the frames that a function annotated in these jobs."""
        jobs = self.records[function].values()
        return sorted({n for of_job in jobs for n, r in of_job.items() if r.state == "annotated"})


def read_uploaded(
    storage: Storage,
    media: TaskMedia,
    labels: Sequence[Label],
    states: Sequence[JobState],
    *,
    jobs: Collection[int] | None = None,
    function: str | None = None,
    since: datetime | None = None,
) -> UploadedWork:
    """Read the manifests of a task, of the finished jobs or of chosen ones.

    With `since`, only frames that were annotated later are read.

    Raises NoTruth if no function has annotated a frame in them.
    """
    known = functions_of_task(storage, media.identity)
    if function is not None and function not in known:
        found = ", ".join(map(repr, known)) or "none"
        raise NoTruth(
            f"task {media.task_id} has no record of the function {function!r}; it has: {found}. "
            + describe_namesakes(storage, media.identity)
        )
    wanted = {s.id for s in states if (s.is_finished if jobs is None else s.id in jobs)}
    folders = [manifest_folder(media.identity, name) for name in known]
    unseen = {
        state.id: runs_since_people(
            (one for folder in folders for one in read_changes(storage, folder, state.id)),
            state.updated,
        )
        for state in states
        if jobs is None and state.id in wanted
    }
    late: set[int] = set()
    manifests, records = {}, {}
    for name in known if function is None else [function]:
        manifest = Manifest(storage, task=media.identity, function=name, run=RunStamp(id=""))
        by_job: dict[int, dict[int, FrameRecord]] = {}
        for job_id, frame, record in manifest.records():
            if job_id not in wanted or (since is not None and not _is_later(record, since)):
                continue
            if record.run.id in unseen.get(job_id, ()):
                late.add(frame)
            else:
                by_job.setdefault(job_id, {})[frame] = record
        if by_job:
            manifests[name], records[name] = manifest, by_job
    if not records:
        if late:
            raise NoTruth(
                f"task {media.task_id}: finished jobs have only uploads that came after people "
                f"had finished them ({counted(len(late), 'frame')}), and nobody has changed the "
                "jobs since: choose jobs with --jobs"
            )
        raise NoTruth(f"task {media.task_id}: {_why_nothing(wanted, are_chosen=jobs is not None)}")
    return UploadedWork(
        media=media, labels=labels, manifests=manifests, records=records, late=len(late)
    )


def _why_nothing(jobs: Collection[int], *, are_chosen: bool) -> str:
    if are_chosen:
        return "no function has uploaded anything to the chosen jobs: choose others with --jobs"
    if jobs:
        return (
            f"no function has uploaded anything to its {counted(len(jobs), 'finished job')}: "
            "choose others with --jobs"
        )
    return (
        f"no job of it is finished ({WHEN_FINISHED}): complete a job in CVAT, or choose jobs with "
        "--jobs"
    )


def review(client: Client, work: UploadedWork, detections: Detections) -> list[ReviewRow]:
    """Return what became of each annotation, and what people added on the same frames.

    Args:
        client: The CVAT server.
        work: What was uploaded.
        detections: What the function detects, to tell moved from relabelled annotations and the
            labels of deleted ones. Empty: these are not told apart.
    """
    names = _names_by_id(work.labels)
    rows = []
    jobs = sorted({job_id for by_job in work.records.values() for job_id in by_job})
    sizes = {n: work.media.size_of(n) for n in range(work.media.size)}
    for job_id in jobs:
        objects = list(JobAnnotations(client=client, job_id=job_id).read())
        of_functions = {
            function: {
                (item.digest[0], item.id)
                for record in by_job.get(job_id, {}).values()
                for item in record.items
            }
            for function, by_job in work.records.items()
        }
        for function, by_job in work.records.items():
            if job_id not in by_job:
                continue
            others = set().union(*(keys for name, keys in of_functions.items() if name != function))
            label_names = work.manifests[function].label_names(work.labels)
            versions = _versions(work.manifests[function], by_job[job_id])
            fates = fates_of_job(
                by_job[job_id],
                objects,
                names=label_names,
                originals=_Originals(detections, label_names),
                not_peoples=others - of_functions[function],
                sizes=sizes,
            )
            rows += [
                _row(work.media.task_id, function, job_id, one, names, versions[one.frame])
                for one in fates
            ]
    return rows


class _Originals:
    """The detections of a frame by digest."""

    def __init__(self, detections: Detections, names: LabelNames) -> None:
        self._detections = detections
        self._names = names
        self._frame = -1
        self._by_digest: dict[str, Annotation] = {}

    def __call__(self, frame: int) -> Mapping[str, Annotation]:
        if frame != self._frame:
            self._frame = frame
            self._by_digest = {
                digest(annotation_to_json(one), self._names): one
                for one in self._detections.get(frame, ())
            }
        return self._by_digest


def _names_by_id(labels: Sequence[Label]) -> dict[int, str]:
    return {label.id: label.name for label in labels}


def _is_later(record: FrameRecord, since: datetime) -> bool:
    return not record.when or datetime.fromisoformat(record.when) >= since


def _versions(manifest: Manifest, records: Mapping[int, FrameRecord]) -> dict[int, tuple[str, str]]:
    """Return by frame which version of the function annotated it, with which options.

    A frame with annotations of several versions belongs to none of them.
    """
    history = read_history(manifest.storage, task=manifest.task, function=manifest.function)
    known = {one.run: (one.fingerprint, one.parameters) for one in history}
    versions = {}
    for frame, record in records.items():
        own = record.run.fingerprint, record.run.parameters
        creators = {item.run for item in record.items} - {None, record.run.id}
        is_one = own[0] and all(known.get(str(run)) == own for run in creators)
        versions[frame] = (own[0], own[1][:OPTIONS_DIGITS]) if is_one else ("", "")
    return versions


def _row(
    task_id: int,
    function: str,
    job_id: int,
    fate: Fate,
    names: Mapping[int, str],
    version: tuple[str, str],
) -> ReviewRow:
    def name(label: int | None) -> str:
        return UNKNOWN if label is None else names.get(label, UNKNOWN)

    return ReviewRow(
        task_id=task_id,
        function=function,
        job_id=job_id,
        frame=fate.frame,
        what=fate.what,
        label=name(fate.label),
        new_label="" if fate.new_label is None else name(fate.new_label),
        uploaded=fate.when,
        likeness=fate.likeness,
        fingerprint=version[0],
        options=version[1],
    )
