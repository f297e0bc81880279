"""Read the objects of a CVAT job: as digests, or complete."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import frozen

from cvat_flows.tasks.cvat.annotation_json import iter_annotations
from cvat_flows.tasks.cvat.digest import AttributeDefaults, digest
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.upload.delete import Key, ObjectToDelete
from cvat_flows.tasks.upload.ownership import ExistingObject


@frozen(kw_only=True)
class JobReader:
    """Reads the tags and shapes of one job.

    Each method reads the job again, unless it gets a `snapshot`.
    """

    channel: JobAnnotations
    defaults: AttributeDefaults

    def snapshot(self) -> bytes:
        """Return the job's annotations as JSON."""
        return self.channel.read_bytes()

    def objects(
        self, frames: Collection[int] | None = None, snapshot: bytes | None = None
    ) -> dict[int, list[ExistingObject]]:
        """Return the objects of the frames (None: of all frames), by frame."""
        objects: dict[int, list[ExistingObject]] = {}
        for _, item in iter_annotations(snapshot or self.snapshot()):
            if frames is None or item["frame"] in frames:
                one = ExistingObject(id=item["id"], digest=digest(item, self.defaults))
                objects.setdefault(item["frame"], []).append(one)
        return objects

    def find(
        self, targets: Mapping[int, set[Key]], snapshot: bytes | None = None
    ) -> list[ObjectToDelete]:
        """Return those of the objects, given by frame, that exist and are unchanged."""
        found: list[ObjectToDelete] = []
        for kind, item in iter_annotations(snapshot or self.snapshot()):
            keys = targets.get(item["frame"])
            if keys:
                key = (item["id"], digest(item, self.defaults))
                if key in keys:
                    found.append(ObjectToDelete(frame=item["frame"], kind=kind, key=key, body=item))
        return found
