"""The manifest: what this project put into a CVAT task, frame by frame, durably.

One folder for each CVAT server, task and function. In it a file for every 500 frames of a job, so
that an update is small however large the task is, and a summary that answers in one read whether
there is anything left to do. The format is in docs/upload.md.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from hashlib import blake2b

from attrs import asdict, evolve, field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.manifest_file import (
    FrameRecord,
    JobFile,
    RunStamp,
    dump_job_file,
    parse_job_file,
)

FRAMES_PER_FILE = 500
_FOLDER = "manifest"
_FILES_IN_MEMORY = 16
_FORMAT = 1


class ManifestError(CvatFlowsError):
    """A manifest file cannot be understood."""


@frozen(kw_only=True)
class Summary:
    """What one function has done in one CVAT task, from one small file."""

    server: str
    task_id: int
    function: str
    frames: int
    """Frames that the task had when the summary was written."""
    skipped: int
    """Frames that were not for annotating (deleted, ground truth)."""
    run: RunStamp
    """The last run."""
    when: str
    done: dict[str, int] = field(factory=dict)
    """Annotated frames by `fingerprint parameters`."""
    states: dict[str, int] = field(factory=dict)
    """Frames by state: annotated, failed, pending, undone."""


class Manifest:
    """The manifest of one function in one CVAT task, as one run reads and writes it.

    Several threads may use it if they work on different jobs. `function` is what stays the same
    from one version of a function to the next (its reference, not its fingerprint).
    """

    def __init__(
        self, storage: Storage, *, server: str, task_id: int, function: str, run: RunStamp
    ) -> None:
        self.storage = storage
        self.server = server
        self.task_id = task_id
        self.function = function
        self.run = run
        self.folder = f"{task_folder(server, task_id)}/{slug(function)}"
        self._lock = threading.Lock()
        self._files: OrderedDict[str, JobFile] = OrderedDict()

    def record(self, job_id: int, frame: int) -> FrameRecord | None:
        """The frame's record in a job, or None."""
        return self._file(job_id, frame).frames.get(frame)

    def done(self, frame: Frame) -> bool:
        """Whether this function, by fingerprint and parameters, has done the frame in all of its
        jobs. Asks the storage, never CVAT."""
        return bool(frame.job_ids) and all(
            self._is_done(self.record(job_id, frame.number)) for job_id in frame.job_ids
        )

    def write(self, job_id: int, records: dict[int, FrameRecord]) -> None:
        """Write the records of some frames of a job, at once for each file they lie in."""
        by_file: dict[int, dict[int, FrameRecord]] = {}
        for frame, record in records.items():
            by_file.setdefault(_first_frame(frame), {})[frame] = record
        for first, changed in by_file.items():
            old = self._file(job_id, first)
            new = evolve(old, frames=dict(sorted({**old.frames, **changed}.items())))
            path = self._path(job_id, first)
            self.storage.write(path, dump_job_file(new))
            self._remember(path, new)

    def records(self) -> Iterator[tuple[int, int, FrameRecord]]:
        """All records as (job id, frame, record), a file in memory at a time."""
        for stored in self.storage.list(self.folder):
            if not stored.path.endswith(".json") or "/job-" not in stored.path:
                continue
            file = self._read(stored.path)
            if file is not None:
                for frame, record in file.frames.items():
                    yield file.job_id, frame, record

    def summarize(
        self,
        *,
        frames: int,
        skipped: int = 0,
        never: Collection[int] = (),
        held: Collection[int] = (),
    ) -> Summary:
        """Count the records, write the summary and return it.

        A frame of several jobs counts once, and only if it is done in all that have a record. Those
        in `never` are not for annotating, whatever was done on them before; those in `held` have
        annotations, and unless this function has made them they are not for annotating, too.
        `skipped` is the number of further frames that are not.
        """
        state_of: dict[int, FrameRecord] = {}
        for _, number, record in self.records():
            known = state_of.get(number)
            # The one that is done least stands for the frame.
            if (
                known is None
                or self._is_done(known)
                or (known.state == "annotated" and record.state != "annotated")
            ):
                state_of[number] = evolve(record, items=())
        left_out = {*never}
        left_out |= {n for n in held if n not in state_of or state_of[n].state != "annotated"}
        for number in left_out & state_of.keys():
            del state_of[number]
        summary = Summary(
            server=self.server,
            task_id=self.task_id,
            function=self.function,
            frames=frames,
            skipped=skipped + len(left_out),
            run=self.run,
            when=now(),
            done=dict(
                Counter(
                    f"{record.run.fingerprint} {record.run.parameters}"
                    for record in state_of.values()
                    if record.state == "annotated"
                )
            ),
            states=dict(Counter(str(record.state) for record in state_of.values())),
        )
        self.storage.write(f"{self.folder}/summary.json", _dump_summary(summary))
        return summary

    def _is_done(self, record: FrameRecord | None) -> bool:
        return (
            record is not None
            and record.state == "annotated"
            and record.run.fingerprint == self.run.fingerprint
            and record.run.parameters == self.run.parameters
        )

    def _path(self, job_id: int, frame: int) -> str:
        return f"{self.folder}/job-{job_id}/frames-{_first_frame(frame):07d}.json"

    def _file(self, job_id: int, frame: int) -> JobFile:
        path = self._path(job_id, frame)
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
        file = self._read(path)
        if file is None:
            file = JobFile(
                server=self.server, task_id=self.task_id, job_id=job_id, function=self.function
            )
        self._remember(path, file)
        return file

    def _read(self, path: str) -> JobFile | None:
        return _read_job_file(self.storage, path)

    def _remember(self, path: str, file: JobFile) -> None:
        with self._lock:
            self._files[path] = file
            self._files.move_to_end(path)
            while len(self._files) > _FILES_IN_MEMORY:
                self._files.popitem(last=False)


def read_summary(storage: Storage, *, server: str, task_id: int, function: str) -> Summary | None:
    """What the function has done in the CVAT task, or None if no run of it has ended there.

    One small read and no request to CVAT. An unreadable summary counts as none: the run that it
    leads to skips what is done frame by frame.
    """
    content = storage.read(f"{task_folder(server, task_id)}/{slug(function)}/summary.json")
    if content is None:
        return None
    try:
        row = json.loads(content)
        if row.pop("format") != _FORMAT:
            return None
        return Summary(**{**row, "run": RunStamp(**row["run"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def functions_of_task(storage: Storage, *, server: str, task_id: int) -> list[str]:
    """Names of the functions that have a manifest in the CVAT task."""
    names = set()
    folders = set()
    for stored in storage.list(task_folder(server, task_id)):
        folder = stored.path.split("/")[3]
        if folder not in folders and "/job-" in stored.path:
            file = _read_job_file(storage, stored.path)
            if file is not None:
                folders.add(folder)
                names.add(file.function)
    return sorted(names)


def task_folder(server: str, task_id: int) -> str:
    return f"{_FOLDER}/{server_slug(server)}/task-{task_id}"


def server_slug(server: str) -> str:
    """File name for a CVAT server's address, however people write it.

    As the SDK reads it: without a scheme it is HTTPS, and a slash at its end means nothing.
    """
    address = server if "://" in server else f"https://{server}"
    return slug(address.rstrip("/").lower())


def slug(text: str) -> str:
    """A file name for any text: readable, and distinct for distinct texts."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48]
    return f"{readable}-{blake2b(text.encode(), digest_size=4).hexdigest()}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _first_frame(frame: int) -> int:
    return frame - frame % FRAMES_PER_FILE


def _read_job_file(storage: Storage, path: str) -> JobFile | None:
    content = storage.read(path)
    if content is None:
        return None
    try:
        return parse_job_file(content)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ManifestError(
            f"The manifest file {path!r} cannot be understood ({type(error).__name__}: {error}). "
            "Put a good copy back or delete it: without it, shapes that people removed or changed "
            "may be uploaded again."
        ) from error


def _dump_summary(summary: Summary) -> bytes:
    row = {"format": _FORMAT, **asdict(summary)}
    return json.dumps(row, ensure_ascii=False, indent=1).encode()
