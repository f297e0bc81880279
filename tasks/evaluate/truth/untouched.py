"""Which annotations in CVAT are exactly as this project uploaded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cvat_flows.tasks.cvat.annotation_json import Kind
from cvat_flows.tasks.cvat.digest import possible_digests
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import JobState
from cvat_flows.tasks.record.manifest import Manifest, functions_of_task
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.uploads import read_changes, runs_since_people
from cvat_flows.tasks.storage import Storage


class Untouched:
    """What the manifests of a CVAT task say that this project uploaded, with any function.

    Args:
        storage: Where the manifests are.
        task: The CVAT task.
        labels: Its labels.
    """

    def __init__(self, storage: Storage, task: TaskIdentity, labels: Iterable[Label]) -> None:
        labels = tuple(labels)
        self._storage = storage
        self._folders: list[str] = []
        self._known: dict[tuple[int, str, int], list[tuple[str, str, LabelNames]]] = {}
        for function in functions_of_task(storage, task):
            manifest = Manifest(storage, task=task, function=function, run=RunStamp(id=""))
            names = manifest.label_names(labels)
            self._folders.append(manifest.folder)
            for job_id, _, record in manifest.records():
                for item in record.items:
                    if item.run is not None:
                        key = (job_id, item.digest[0], item.id)
                        self._known.setdefault(key, []).append((item.digest, item.run, names))

    def runs_of(self, job_id: int, kind: Kind, item: Mapping[str, Any]) -> frozenset[str]:
        """Return the runs that uploaded a tag or shape of a job exactly as it is now."""
        known = self._known.get((job_id, kind[0], item["id"]), ())
        return frozenset(
            run for digest, run, names in known if digest in possible_digests(item, names)
        )

    def runs_since_people(self, job: JobState) -> frozenset[str]:
        """Return the runs that wrote to a job after the last change by anybody else."""
        uploads = [one for f in self._folders for one in read_changes(self._storage, f, job.id)]
        return runs_since_people(uploads, job.updated)
