"""Which annotations in CVAT are exactly as this project uploaded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cvat_flows.tasks.cvat.annotation_json import Kind
from cvat_flows.tasks.cvat.digest import possible_digests
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.record.manifest import Manifest, functions_of_task
from cvat_flows.tasks.record.manifest_file import RunStamp
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
        self._known: dict[tuple[int, str, int], list[tuple[str, LabelNames]]] = {}
        for function in functions_of_task(storage, task):
            manifest = Manifest(storage, task=task, function=function, run=RunStamp(id=""))
            names = manifest.label_names(labels)
            for job_id, _, record in manifest.records():
                for item in record.items:
                    if item.run is not None:
                        key = (job_id, item.digest[0], item.id)
                        self._known.setdefault(key, []).append((item.digest, names))

    def has(self, job_id: int, kind: Kind, item: Mapping[str, Any]) -> bool:
        """Return whether a tag or shape of a job is as a function of ours uploaded it."""
        known = self._known.get((job_id, kind[0], item["id"]), ())
        return any(digest in possible_digests(item, names) for digest, names in known)
