"""Find annotations that a proxy or CVAT has stored twice although the request had a clear answer.

One read of the job tells. It is not decoded unless it contains ids that no answer has named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen

from cvat_flows.tasks.cvat.annotation_json import (
    Kind,
    ids_by_kind,
    iter_annotations,
    looks_complete,
)
from cvat_flows.tasks.cvat.digest import kind_of_digest
from cvat_flows.tasks.record.ownership import ExistingObject, ManifestItem
from cvat_flows.tasks.upload.requests.create import Creator
from cvat_flows.tasks.upload.requests.delete import Key
from cvat_flows.tasks.upload.requests.read import JobReader
from cvat_flows.tasks.upload.requests.recover import find_traces


@frozen(kw_only=True)
class CopyFinder:
    """Finds second copies of what an upload has created in a job."""

    reader: JobReader
    creator: Creator
    items_of: Callable[[int], Iterable[ManifestItem]]
    """Returns a frame's items."""
    doubtful_of: Callable[[int], Collection[str]]
    """Returns the digests of a frame's requests that were sent again."""
    highest_ids: Mapping[Kind, int]
    """The highest ids in the job before anything was created. CVAT's ids rise."""

    def read(self) -> bytes | None:
        """Read the job. Return its annotations if they may contain copies, else None."""
        body = self.reader.channel.read_bytes(is_good=looks_complete)
        return self.reader.snapshot() if self._has_unknown_ids(body) else None

    def find(self, snapshot: bytes) -> dict[int, set[Key]]:
        """Return the unchanged objects of second copies, by frame."""
        created = self._created()
        suspects: set[str] = set()
        for kind, item in iter_annotations(snapshot):
            if item["id"] > self.highest_ids[kind] and item["id"] not in created[kind]:
                suspects.add(self.creator.sent.get(item["frame"], ""))
        frames: dict[str, list[int]] = {request: [] for request in suspects if request}
        for frame, request in self.creator.sent.items():
            if request in frames:
                frames[request].append(frame)
        copies: dict[int, set[Key]] = {}
        for numbers in frames.values():
            existing = self.reader.objects(numbers, snapshot)
            sent, candidates = {}, {}
            known: set[Key] = set()
            for number in numbers:
                items = [
                    i for i in self.items_of(number) if i.id in created[kind_of_digest(i.digest)]
                ]
                known.update((item.id, item.digest) for item in items)
                sent[number] = [item.digest for item in items]
                candidates[number] = self._candidates(items, existing.get(number, []))
            traces = find_traces(
                sent,
                candidates,
                self.creator.run_id,
                known=known,
                sent_again=all({*self.doubtful_of(n)}.issuperset(sent[n]) for n in numbers),
            )
            for number, surplus in traces.surplus.items() if traces else ():
                copies[number] = {(one.id, one.digest) for one in surplus}
        return copies

    def _candidates(
        self, items: Iterable[ManifestItem], existing: Iterable[ExistingObject]
    ) -> dict[str, list[ExistingObject]]:
        """Return the frame's objects that are ours or may be copies: by digest, ours first."""
        ours = {(item.id, item.digest) for item in items}
        candidates: dict[str, list[ExistingObject]] = {item.digest: [] for item in items}
        for one in sorted(existing, key=lambda o: ((o.id, o.digest) not in ours, o.id)):
            is_new = one.id > self.highest_ids[kind_of_digest(one.digest)]
            if one.digest in candidates and is_new:
                candidates[one.digest].append(one)
        return candidates

    def _has_unknown_ids(self, body: bytes) -> bool:
        try:
            found = ids_by_kind(body)
        except ValueError:
            return True
        created = self._created()
        return any(
            not created[kind].issuperset(i for i in ids if i > self.highest_ids[kind])
            for kind, ids in found.items()
        )

    def _created(self) -> dict[Kind, set[int]]:
        return {kind: set(ids) for kind, ids in self.creator.ids.items()}
