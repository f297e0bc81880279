"""A job before an upload: what is in it, and what became of the open requests of earlier runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from cvat_flows.tasks.cvat.annotation_json import Kind, annotation_to_json, ids_by_kind
from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.record.manifest import FRAMES_PER_FILE, Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.record.ownership import ExistingObject
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.read import JobReader
from cvat_flows.tasks.upload.requests.recover import Recovery, recover


@define(kw_only=True)
class JobBefore:
    """The objects that a job contained before anything was sent. The job is read once."""

    reader: JobReader
    manifest: Manifest
    options: UploadOptions
    write: Callable[[dict[int, FrameRecord]], None]
    """Writes records to the manifest."""
    highest_ids: dict[Kind, int] = field(factory=dict, init=False)
    """The highest ids in the job. CVAT's ids rise."""
    _looked_at: float = field(default=0.0, init=False)
    _existing: dict[int, list[ExistingObject]] | None = field(default=None, init=False)
    _recovery: Recovery = field(factory=Recovery, init=False)
    """What became of the open requests of the manifest file `_recovered`."""
    _recovered: int | None = field(default=None, init=False)

    def recover(self, frame: int) -> Recovery:
        """Return what became of the open requests in the manifest file of a frame.

        It is written to the manifest, except in a dry run.
        """
        existing = self._objects()
        if self._recovered == frame // FRAMES_PER_FILE:
            return self._recovery
        self._recovered = frame // FRAMES_PER_FILE
        self._recovery = recover(
            self.manifest.records_near(self.reader.channel.job_id, frame),
            existing,
            self.options.look(self.manifest.run.id, self._looked_at),
        )
        if self._recovery.changed and not self.options.dry_run:
            self.write(self._recovery.changed)
        return self._recovery

    def take(self, outcome: Outcome) -> list[ExistingObject]:
        """Return the objects of a frame, after its groups are recognised, and forget them."""
        existing = self._objects().pop(outcome.frame.number, [])
        if not (existing and has_groups(outcome)):
            return existing
        names = self.reader.names
        bodies = [annotation_to_json(one) for one in outcome.annotations or ()]
        return self.reader.groups.adopt(
            outcome.frame.number, bodies, existing, lambda body: digest(body, names)
        )

    def _objects(self) -> dict[int, list[ExistingObject]]:
        if self._existing is None:
            self._looked_at = time.time()
            snapshot = self.reader.snapshot()
            self._existing = self.reader.objects(snapshot=snapshot)
            self.highest_ids = {
                kind: max(ids, default=0) for kind, ids in ids_by_kind(snapshot).items()
            }
        return self._existing


def has_groups(outcome: Outcome) -> bool:
    """Return whether any annotation of a frame is in a group."""
    return any(one.group for one in outcome.annotations or ())
