"""Delete objects, but only those that are unchanged since that was decided."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from cvat_flows.tasks.cvat.annotation_json import KINDS, Kind
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import MAX_CONSECUTIVE_500S
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations, Reply
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.create import MAX_DOUBTFUL_ANSWERS

Key = tuple[int, str]
"""Id and digest."""

_PLACEHOLDER_POINTS: dict[str, list[float]] = {
    "rectangle": [0, 0, 1, 1],
    "ellipse": [0, 0, 1, 1],
    "polygon": [0, 0, 1, 0, 1, 1],
    "polyline": [0, 0, 1, 1],
    "points": [0, 0],
    "mask": [0, 1, 0, 0, 0, 0],
}


@frozen(kw_only=True)
class ObjectToDelete:
    """An object as CVAT returned it. CVAT needs the same JSON to delete it."""

    frame: int
    kind: Kind
    key: Key
    body: Mapping[str, Any]


@define(kw_only=True)
class _DeleteRequest:
    objects: list[ObjectToDelete]
    doubtful_answers: int = 0
    consecutive_500s: int = 0
    with_placeholder: bool = False


@define(kw_only=True)
class Deleter:
    """Deletes objects of one job."""

    channel: JobAnnotations
    options: UploadOptions
    find: Callable[[Mapping[int, set[Key]]], list[ObjectToDelete]]
    """Reads the job and returns those of the objects, given by frame, that are unchanged."""
    requests: int = field(default=0, init=False)
    doubtful: int = field(default=0, init=False)
    deleted: dict[int, int] = field(factory=dict, init=False)
    """Number of deleted objects by frame."""
    undeletable: dict[int, str] = field(factory=dict, init=False)
    """By frame, why CVAT refused to delete an object."""

    def delete(self, objects: Iterable[ObjectToDelete]) -> None:
        """Delete objects that have just been read.

        A delete can be repeated. But if a person changes an object meanwhile, it is theirs; so
        after a doubtful answer the objects are read again.
        """
        queue = deque(self._requests(objects))
        while queue:
            request = queue.popleft()
            self.options.check()
            self.requests += 1
            reply = self.channel.delete(_body(request))
            if reply.result == "refused":
                queue.extendleft(reversed(self._split(request, reply)))
            elif reply.result == "done" and _ids(reply) >= {o.key[0] for o in request.objects}:
                self._count(request.objects)
            else:
                queue.extendleft(reversed(self._read_back(request, reply)))

    def _requests(self, objects: Iterable[ObjectToDelete]) -> list[_DeleteRequest]:
        requests: list[_DeleteRequest] = []
        size = 0
        for one in objects:
            octets = len(json.dumps(one.body))
            full = requests and (
                len(requests[-1].objects) >= self.options.max_shapes
                or size + octets > self.options.max_bytes
            )
            if full or not requests:
                requests.append(_DeleteRequest(objects=[]))
                size = 0
            requests[-1].objects.append(one)
            size += octets
        return requests

    def _read_back(self, request: _DeleteRequest, reply: Reply) -> list[_DeleteRequest]:
        """Find out what was deleted, and return the requests to send again."""
        self.doubtful += 1
        request.doubtful_answers += 1
        request.consecutive_500s = request.consecutive_500s + 1 if reply.status == 500 else 0
        self.channel.pause(reply, request.doubtful_answers)
        targets: dict[int, set[Key]] = {}
        for one in request.objects:
            targets.setdefault(one.frame, set()).add(one.key)
        remaining = self.find(targets)
        remaining_keys = {one.key for one in remaining}
        self._count([one for one in request.objects if one.key not in remaining_keys])
        if not remaining:
            return []
        if len(remaining) < len(request.objects):
            request.doubtful_answers = 0
        request.objects = remaining
        if request.consecutive_500s >= MAX_CONSECUTIVE_500S:
            return self._split(request, reply)
        if request.doubtful_answers >= MAX_DOUBTFUL_ANSWERS:
            raise CvatUnavailable(
                f"job {self.channel.job_id}: CVAT does not delete superseded annotations of frame "
                f"{remaining[0].frame} (last of {MAX_DOUBTFUL_ANSWERS} answers: {reply.text}); run "
                "this again later"
            )
        return [request]

    def _split(self, request: _DeleteRequest, reply: Reply) -> list[_DeleteRequest]:
        """Halve a refused request. For a single object, try placeholder points, then give up."""
        if len(request.objects) > 1:
            middle = len(request.objects) // 2
            return [
                _DeleteRequest(objects=request.objects[:middle]),
                _DeleteRequest(objects=request.objects[middle:]),
            ]
        (one,) = request.objects
        if not request.with_placeholder:
            # CVAT deletes by id, but validates the points, and those of an old object may be bad.
            return [_DeleteRequest(objects=[one], with_placeholder=True)]
        self.undeletable[one.frame] = (
            f"the new annotations are uploaded, but CVAT refused to delete {one.kind[:-1]} "
            f"{one.key[0]}, which they supersede: {reply.text}; delete it in CVAT"
        )
        return []

    def _count(self, objects: Iterable[ObjectToDelete]) -> None:
        for one in objects:
            self.deleted[one.frame] = self.deleted.get(one.frame, 0) + 1


def _body(request: _DeleteRequest) -> bytes:
    lists: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for one in request.objects:
        body = dict(one.body)
        if request.with_placeholder:
            body = {
                name: body[name] for name in ("id", "type", "frame", "label_id") if name in body
            }
            if one.kind == "shapes":
                body["points"] = _PLACEHOLDER_POINTS.get(body["type"], [])
            if body.get("type") == "skeleton":
                body["elements"] = one.body["elements"]
        lists[one.kind].append(body)
    return json.dumps(lists, separators=(",", ":")).encode()


def _ids(reply: Reply) -> set[int]:
    return {item["id"] for kind in KINDS for item in reply.content[kind]}
