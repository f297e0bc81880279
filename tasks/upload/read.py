"""Read a CVAT job back as far as it matters to a question: digests, or whole objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import frozen

from cvat_flows.tasks.cvat.annotation_json import iter_annotations
from cvat_flows.tasks.cvat.digest import AttributeDefaults, digest
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.upload.delete import Key, Victim
from cvat_flows.tasks.upload.plan import Present


@frozen(kw_only=True)
class JobReader:
    """Answers questions about the tags and shapes of one job.

    Each with a GET of its own, or several about the same `snapshot`.
    """

    channel: JobAnnotations
    defaults: AttributeDefaults

    def snapshot(self) -> bytes:
        """The job as it is now."""
        return self.channel.read_bytes()

    def present(
        self, frames: Collection[int] | None = None, snapshot: bytes | None = None
    ) -> dict[int, list[Present]]:
        """What the frames (None: all) hold, by frame."""
        present: dict[int, list[Present]] = {}
        for _, item in iter_annotations(snapshot or self.snapshot()):
            if frames is None or item["frame"] in frames:
                one = Present(id=item["id"], digest=digest(item, self.defaults))
                present.setdefault(item["frame"], []).append(one)
        return present

    def find(self, targets: Mapping[int, set[Key]], snapshot: bytes | None = None) -> list[Victim]:
        """The objects among `targets`, by frame, that are there and unchanged."""
        found: list[Victim] = []
        for kind, item in iter_annotations(snapshot or self.snapshot()):
            keys = targets.get(item["frame"])
            if keys:
                key = (item["id"], digest(item, self.defaults))
                if key in keys:
                    found.append(Victim(frame=item["frame"], kind=kind, key=key, body=item))
        return found
