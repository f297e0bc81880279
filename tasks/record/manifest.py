"""The manifest: the durable record of what this project put into a CVAT task, frame by frame.

Each CVAT task and function has a folder. It contains a file for every 500 frames of a job,
so that an update is small for any size of task, and a summary (record.manifest_summary). The format
is documented in docs/upload.md.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve

from cvat_flows.tasks.cvat.label_names import LabelNames, LabelTable
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.record.failures import is_set_aside
from cvat_flows.tasks.record.manifest_file import (
    FrameRecord,
    JobFile,
    RunStamp,
    dump_job_file,
    folder_of_namesakes,
    manifest_folder,
    parse_job_file,
)
from cvat_flows.tasks.storage import Storage

FRAMES_PER_FILE = 500
_MAX_FILES_IN_MEMORY = 16


class ManifestError(CvatFlowsError):
    """A manifest file cannot be read."""


class Manifest:
    """The manifest of one function in one CVAT task, for one run.

    Several threads can use it if they work on different jobs.

    Args:
        storage: Where the manifest is.
        task: The CVAT task.
        function: Name of the function, the same for all its versions.
        run: The run that reads and writes.
        server: Address of the CVAT server, for people who read the files.

    Attributes:
        ignore_records: Do as if there were no records yet. For a dry run.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        task: TaskIdentity,
        function: str,
        run: RunStamp,
        server: str = "",
    ) -> None:
        self.storage = storage
        self.task = task
        self.function = function
        self.run = run
        self.server = server
        self.folder = manifest_folder(task, function)
        self.ignore_records = False
        self._labels_path = f"{self.folder}/labels.json"
        self._new_labels: bytes | None = None
        self._lock = threading.Lock()
        self._files: OrderedDict[str, JobFile] = OrderedDict()

    def record(self, job_id: int, frame: int) -> FrameRecord | None:
        """Return the frame's record in a job, or None."""
        return self._file(job_id, frame).frames.get(frame)

    def records_near(self, job_id: int, frame: int) -> Mapping[int, FrameRecord]:
        """Return all records of a job that are in the same file as the frame's, by frame."""
        return self._file(job_id, frame).frames

    def is_done(self, frame: Frame, present: str = "") -> bool:
        """Return whether this version of the function has annotated the frame in all of its jobs.

        Reads the storage, not CVAT.

        Args:
            frame: The frame.
            present: Digest of what is on the frame, if the function needs that.
        """
        records = [self.record(job_id, frame.number) for job_id in frame.job_ids]
        return bool(records) and all(
            record is not None and self.is_current(record) and record.present == present
            for record in records
        )

    def is_done_by_this_run(self, frame: Frame, present: str = "") -> bool:
        """Return whether this run, before it was interrupted, has annotated the frame."""
        records = [self.record(job_id, frame.number) for job_id in frame.job_ids]
        return self.is_done(frame, present) and all(r and r.run.id == self.run.id for r in records)

    def is_current(self, record: FrameRecord | None) -> bool:
        """Return whether the frame is annotated, with this run's fingerprint and parameters."""
        return (
            record is not None
            and record.state == "annotated"
            and record.run.fingerprint == self.run.fingerprint
            and record.run.parameters == self.run.parameters
        )

    def is_set_aside(self, frame: Frame, present: str = "") -> bool:
        """Return whether the frame has failed so often in the same way that it is not tried again.

        Reads the storage, not CVAT. `present` is as in `is_done`.
        """
        records = [self.record(job_id, frame.number) for job_id in frame.job_ids]
        aside = [
            is_set_aside(record, self.run) and record is not None and record.present == present
            for record in records
        ]
        return any(aside) and all(
            one or self.is_current(record) for one, record in zip(aside, records, strict=True)
        )

    def label_names(self, labels: Iterable[Label]) -> LabelNames:
        """Return what digests call the labels of the task, since the first upload of the function.

        The names of new labels are written before the first records with them.
        """
        content = None if self.ignore_records else self.storage.read(self._labels_path)
        try:
            table = LabelTable(json.loads(content) if content else ())
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self._labels_path, error) from error
        names = table.names(labels)
        now = json.dumps(table.rows(), ensure_ascii=False, indent=1).encode()
        self._new_labels = now if now != content else None
        return names

    def write(self, job_id: int, records: dict[int, FrameRecord]) -> None:
        """Write the records of some frames of a job, with one write for each file."""
        if self._new_labels is not None:
            self.storage.write(self._labels_path, self._new_labels)
            self._new_labels = None
        by_file: dict[int, dict[int, FrameRecord]] = {}
        for frame, record in records.items():
            by_file.setdefault(_first_frame(frame), {})[frame] = record
        for first, changed in by_file.items():
            old = self._file(job_id, first)
            new = evolve(old, frames=dict(sorted({**old.frames, **changed}.items())))
            path = self._path(job_id, first)
            self.storage.write(path, dump_job_file(new))
            self._keep_in_memory(path, new)

    def records(self) -> Iterator[tuple[int, int, FrameRecord]]:
        """Yield all records as (job id, frame, record), with one file in memory at a time."""
        for stored in self.storage.list(self.folder):
            if not stored.path.endswith(".json") or "/job-" not in stored.path:
                continue
            file = _read_job_file(self.storage, stored.path)
            if file is not None:
                for frame, record in file.frames.items():
                    yield file.job_id, frame, record

    def _path(self, job_id: int, frame: int) -> str:
        return f"{self.folder}/job-{job_id}/frames-{_first_frame(frame):07d}.json"

    def _file(self, job_id: int, frame: int) -> JobFile:
        path = self._path(job_id, frame)
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
        file = None if self.ignore_records else _read_job_file(self.storage, path)
        if file is None:
            file = JobFile(
                task=self.task, server=self.server, job_id=job_id, function=self.function
            )
        self._keep_in_memory(path, file)
        return file

    def _keep_in_memory(self, path: str, file: JobFile) -> None:
        with self._lock:
            self._files[path] = file
            self._files.move_to_end(path)
            while len(self._files) > _MAX_FILES_IN_MEMORY:
                self._files.popitem(last=False)


def functions_of_task(storage: Storage, task: TaskIdentity) -> list[str]:
    """Return the names of the functions that have a manifest in the CVAT task."""
    files = _one_file_each(storage, manifest_folder(task), depth=4)
    return sorted({file.function for file in files})


def recorded_tasks(storage: Storage, task_id: int, server: str) -> list[TaskIdentity]:
    """Return the tasks with this id that have a manifest, begun at this server's address."""
    files = _one_file_each(storage, folder_of_namesakes(task_id), depth=3)
    return [file.task for file in files if file.server == server]


def describe_namesakes(storage: Storage, task: TaskIdentity) -> str:
    """Say which other tasks with the same id have a manifest; return "" if there are none."""
    files = _one_file_each(storage, folder_of_namesakes(task.task_id), depth=3)
    others = [f"{file.task} on {file.server}" for file in files if file.task != task]
    if not others:
        return ""
    return (
        f"the storage has records of another {', another '.join(others)}, which are not used for "
        f"this one, created {task.created:%Y-%m-%d %H:%M:%S} UTC"
    )


def _one_file_each(storage: Storage, folder: str, *, depth: int) -> list[JobFile]:
    """Return one job file of each subfolder whose path has `depth` names."""
    found: dict[str, JobFile] = {}
    for stored in storage.list(folder):
        subfolder = "/".join(stored.path.split("/")[:depth])
        if subfolder not in found and "/job-" in stored.path:
            file = _read_job_file(storage, stored.path)
            if file is not None:
                found[subfolder] = file
    return list(found.values())


def _first_frame(frame: int) -> int:
    return frame - frame % FRAMES_PER_FILE


def _read_job_file(storage: Storage, path: str) -> JobFile | None:
    content = storage.read(path)
    if content is None:
        return None
    try:
        return parse_job_file(content)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> ManifestError:
    return ManifestError(
        f"The manifest file {path!r} cannot be read ({type(error).__name__}: {error}). Restore a "
        "good copy or delete it. Without it, shapes that people removed or changed may be uploaded "
        "again."
    )
