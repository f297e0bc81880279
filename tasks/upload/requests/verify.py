"""Delete what an upload supersedes, and what CVAT stored twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.upload.frames.frame import PendingFrame
from cvat_flows.tasks.upload.frames.plan import find_duplicates
from cvat_flows.tasks.upload.requests.copies import CopyFinder
from cvat_flows.tasks.upload.requests.delete import Deleter, Key, ObjectToDelete
from cvat_flows.tasks.upload.requests.read import JobReader

_MAX_VERIFICATIONS = 5
"""How often to look for duplicates at the end of a job. The first time without one is the last."""


@frozen(kw_only=True)
class Verifier:
    """Deletes superseded objects and copies from a job after everything is sent."""

    reader: JobReader
    deleter: Deleter
    finder: CopyFinder
    record: Callable[[Mapping[int, set[Key]]], None]
    """Writes which surplus copies are about to be deleted, by frame. Otherwise a run after a kill
    would take those that are gone for a person's work."""

    def verify(self, frames: Mapping[int, PendingFrame]) -> None:
        """Delete superseded objects of the frames, and all copies that the finder finds.

        A frame fails if CVAT refuses to delete one of its objects.

        Args:
            frames: By number, the frames with something to delete or verify. For the other frames
                of the job, one read finds whether anything is there twice.
        """
        for _ in range(_MAX_VERIFICATIONS):
            objects, is_last = self._objects_to_delete(frames)
            self.deleter.delete(objects)
            if is_last:
                break
        for frame in frames.values():
            if frame.number in self.deleter.undeletable and not frame.failure:
                frame.failure = Failure(
                    step="upload",
                    error=self.deleter.undeletable[frame.number],
                    error_type="DeleteRefused",
                )

    def _objects_to_delete(
        self, frames: Mapping[int, PendingFrame]
    ) -> tuple[list[ObjectToDelete], bool]:
        """Read the job and find superseded objects and copies.

        Returns the objects, and whether they need no other look. CVAT may store a late copy while
        they are deleted, so the last look must find no copy.
        """
        snapshot = self.reader.snapshot() if frames else self.finder.read()
        if snapshot is None:
            return [], True
        targets = self.finder.find(snapshot)
        is_last = not any(targets.values())
        existing = self.reader.objects(frames, snapshot)
        for frame in frames.values():
            if frame.number not in self.deleter.undeletable:
                duplicates = find_duplicates(
                    existing.get(frame.number, []), frame.items, frame.doubtful
                )
                if duplicates:
                    keys = targets.setdefault(frame.number, set())
                    keys.update((o.id, o.digest) for o in duplicates)
                is_last = is_last and not frame.doubtful
        if targets:
            self.record(targets)
        for frame in frames.values():
            if frame.number not in self.deleter.undeletable:
                keys = targets.setdefault(frame.number, set())
                keys.update((o.id, o.digest) for o in frame.to_delete)
        objects = self.reader.find(targets, snapshot)
        return objects, is_last or not objects
