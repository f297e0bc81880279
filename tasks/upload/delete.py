"""Delete what was superseded: only what is still as it was when the decision was made."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from cvat_flows.tasks.cvat.annotation_json import KINDS, Kind
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations, Reply
from cvat_flows.tasks.cvat.retry import MAX_CONSECUTIVE_500S
from cvat_flows.tasks.upload.create import TRIES
from cvat_flows.tasks.upload.result import UploadOptions

Key = tuple[int, str]
"""Id and digest."""

_STAND_IN: dict[str, list[float]] = {
    "rectangle": [0, 0, 1, 1],
    "ellipse": [0, 0, 1, 1],
    "polygon": [0, 0, 1, 0, 1, 1],
    "polyline": [0, 0, 1, 1],
    "points": [0, 0],
    "mask": [0, 1, 0, 0, 0, 0],
}


@frozen(kw_only=True)
class Victim:
    """An object as CVAT gave it, which is how CVAT wants it back to delete it."""

    frame: int
    kind: Kind
    key: Key
    body: Mapping[str, Any]


@define(kw_only=True)
class _Batch:
    victims: list[Victim]
    doubts: int = 0
    server_errors: int = 0
    stand_in: bool = False


@define(kw_only=True)
class Deleter:
    """Deletes objects of one job."""

    channel: JobAnnotations
    options: UploadOptions
    find: Callable[[Mapping[int, set[Key]]], list[Victim]]
    """Read back those of the objects, by frame, that are there unchanged."""
    requests: int = field(default=0, init=False)
    doubtful: int = field(default=0, init=False)
    deleted: dict[int, int] = field(factory=dict, init=False)
    """Objects deleted, by frame."""
    undeletable: dict[int, str] = field(factory=dict, init=False)
    """Why, by frame."""

    def delete(self, victims: Iterable[Victim]) -> None:
        """Delete objects that have just been read.

        A delete may be repeated, but an object that a person changed meanwhile has become theirs:
        after a doubtful answer the objects are read again.
        """
        queue = deque(self._batches(victims))
        while queue:
            batch = queue.popleft()
            self.options.check()
            self.requests += 1
            reply = self.channel.delete(_body(batch))
            if reply.result == "refused":
                queue.extendleft(reversed(self._divide(batch, reply)))
            elif reply.result == "done" and _named(reply) >= {v.key[0] for v in batch.victims}:
                self._count(batch.victims)
            else:
                queue.extendleft(reversed(self._look_again(batch, reply)))

    def _batches(self, victims: Iterable[Victim]) -> list[_Batch]:
        batches: list[_Batch] = []
        size = 0
        for victim in victims:
            octets = len(json.dumps(victim.body))
            full = batches and (
                len(batches[-1].victims) >= self.options.max_shapes
                or size + octets > self.options.max_bytes
            )
            if full or not batches:
                batches.append(_Batch(victims=[]))
                size = 0
            batches[-1].victims.append(victim)
            size += octets
        return batches

    def _look_again(self, batch: _Batch, reply: Reply) -> list[_Batch]:
        self.doubtful += 1
        batch.doubts += 1
        batch.server_errors = batch.server_errors + 1 if reply.status == 500 else 0
        self.channel.pause(reply, batch.doubts)
        targets: dict[int, set[Key]] = {}
        for victim in batch.victims:
            targets.setdefault(victim.frame, set()).add(victim.key)
        left = self.find(targets)
        there = {victim.key for victim in left}
        self._count([v for v in batch.victims if v.key not in there])
        if not left:
            return []
        if len(left) < len(batch.victims):
            batch.doubts = 0
        batch.victims = left
        if batch.server_errors >= MAX_CONSECUTIVE_500S:
            return self._divide(batch, reply)
        if batch.doubts >= TRIES:
            raise CvatUnavailable(
                f"job {self.channel.job_id}: CVAT does not delete superseded annotations of frame "
                f"{left[0].frame} (last of {TRIES} answers: {reply.text}); run this again later"
            )
        return [batch]

    def _divide(self, batch: _Batch, reply: Reply) -> list[_Batch]:
        if len(batch.victims) > 1:
            middle = len(batch.victims) // 2
            return [
                _Batch(victims=batch.victims[:middle]),
                _Batch(victims=batch.victims[middle:]),
            ]
        (victim,) = batch.victims
        if not batch.stand_in:
            # Old or damaged objects can be read but would not be accepted; only the id counts.
            return [_Batch(victims=[victim], stand_in=True)]
        self.undeletable[victim.frame] = (
            f"the new annotations are in, but CVAT refused to delete {victim.kind[:-1]} "
            f"{victim.key[0]}, which they supersede: {reply.text}; delete it in CVAT"
        )
        return []

    def _count(self, victims: Iterable[Victim]) -> None:
        for victim in victims:
            self.deleted[victim.frame] = self.deleted.get(victim.frame, 0) + 1


def _body(batch: _Batch) -> bytes:
    lists: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for victim in batch.victims:
        body = dict(victim.body)
        if batch.stand_in:
            body = {
                name: body[name] for name in ("id", "type", "frame", "label_id") if name in body
            }
            if victim.kind == "shapes":
                body["points"] = _STAND_IN.get(body["type"], [])
            if body.get("type") == "skeleton":
                body["elements"] = victim.body["elements"]
        lists[victim.kind].append(body)
    return json.dumps(lists, separators=(",", ":")).encode()


def _named(reply: Reply) -> set[int]:
    return {item["id"] for kind in KINDS for item in reply.content[kind]}
