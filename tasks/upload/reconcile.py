"""Make the records of a function fit a CVAT task that is older than they are.

That happens if CVAT was restored from a backup, or if this is a copy of the server that the records
are about. What is recorded and not there was not removed by a person.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby

from attrs import evolve
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.record.ownership import ExistingObject
from cvat_flows.tasks.upload.requests.read import JobReader


def forget_what_is_gone(client: Client, manifest: Manifest, labels: tuple[Label, ...]) -> int:
    """Remove from the records what is not in CVAT as recorded.

    A frame that loses something counts as not annotated. The caller must have the task's lease.

    Returns:
        The number of frames that lost something.
    """
    forgotten = 0
    for job_id, rows in groupby(manifest.records(), key=lambda row: row[0]):
        records = {frame: record for _, frame, record in rows}
        reader = JobReader(
            channel=JobAnnotations(client=client, job_id=job_id),
            names=manifest.label_names(labels),
            recorded=partial(manifest.record, job_id),
        )
        try:
            existing = reader.objects(records)
        except CvatRefused as error:
            if error.status != 404:
                raise
            existing = {}
        changed = {}
        for frame, record in records.items():
            left = _without_missing(record, existing.get(frame, []))
            if left != record:
                changed[frame] = left
        manifest.write(job_id, changed)
        forgotten += len(changed)
    return forgotten


def _without_missing(record: FrameRecord, existing: list[ExistingObject]) -> FrameRecord:
    there = {(one.id, one.digest) for one in existing}
    recorded = (*record.items, *record.deleting)
    items = tuple(item for item in recorded if (item.id, item.digest) in there)
    if items == record.items and not (record.deleting or record.pending or record.doubtful):
        return record
    return evolve(
        record,
        state="pending",
        items=items,
        deleting=(),
        pending=(),
        request="",
        until=None,
        doubtful=(),
    )
