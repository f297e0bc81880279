"""Read the objects of a CVAT job: as digests, or complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from attrs import Factory, field, frozen

from cvat_flows.tasks.cvat.annotation_json import iter_annotations
from cvat_flows.tasks.cvat.digest import digest, possible_digests
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.record.ownership import ExistingObject
from cvat_flows.tasks.upload.frames.groups import JobGroups
from cvat_flows.tasks.upload.requests.delete import Key, ObjectToDelete


@frozen(kw_only=True)
class JobReader:
    """Reads the tags and shapes of one job.

    Each method reads the job again, unless it gets a `snapshot`.
    """

    channel: JobAnnotations
    names: LabelNames
    recorded: Callable[[int], FrameRecord | None]
    """Returns the record of a frame."""
    groups: JobGroups = field(
        default=Factory(
            lambda self: JobGroups(recorded=self.recorded, read_job=self.channel.read_bytes),
            takes_self=True,
        )
    )

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
                one = ExistingObject(id=item["id"], digest=self._digest(item))
                objects.setdefault(item["frame"], []).append(one)
                if frames is None:
                    self.groups.note(item, one.digest)
        return objects

    def items(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the objects of all frames, each with its digest."""
        for _, item in iter_annotations(self.snapshot()):
            yield item, self._digest(item)

    def find(
        self, targets: Mapping[int, set[Key]], snapshot: bytes | None = None
    ) -> list[ObjectToDelete]:
        """Return those of the objects, given by frame, that exist and are unchanged."""
        found: list[ObjectToDelete] = []
        for kind, item in iter_annotations(snapshot or self.snapshot()):
            keys = targets.get(item["frame"])
            if keys:
                key = (item["id"], self._digest(item))
                if key in keys:
                    found.append(ObjectToDelete(frame=item["frame"], kind=kind, key=key, body=item))
        return found

    def _digest(self, item: dict[str, Any]) -> str:
        item = self.groups.translate(item)
        if not self.names.edited:
            return digest(item, self.names)
        first, *others = possible_digests(item, self.names)
        if not others:
            return first
        record = self.recorded(item["frame"])
        if record is None:
            return first
        for recorded in (*record.items, *record.deleting):
            if recorded.id == item["id"] and recorded.digest in (first, *others):
                return recorded.digest
        sent = {*record.pending, *record.doubtful}
        return next((one for one in (first, *others) if one in sent), first)
