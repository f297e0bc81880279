"""Create annotations in requests of whole frames, each annotation exactly once."""

from __future__ import annotations

import secrets
import time
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from cvat_flows.tasks.cvat.annotation_json import KINDS, Kind
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import MAX_CONSECUTIVE_500S
from cvat_flows.tasks.cvat.digest import kind_of_digest
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations, Reply
from cvat_flows.tasks.record.ownership import ExistingObject, ManifestItem
from cvat_flows.tasks.upload.frames.frame import PendingFrame
from cvat_flows.tasks.upload.frames.plan import find_created
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.recover import candidates_of, find_traces
from cvat_flows.tasks.upload.requests.refusal import dropped_annotations, refused_frame

MAX_DOUBTFUL_ANSWERS = 12
"""Doubtful answers to one request, without any progress, after which the run gives up."""
MAX_SILENT_DROPS = 2
"""Answers of 200 without annotations of the frame after which the frame fails."""

ObjectsByFrame = Mapping[int, list[ExistingObject]]


@define(kw_only=True)
class CreateRequest:
    """The frames of one request, and its doubtful answers so far."""

    id: str = field(factory=lambda: secrets.token_hex(4))
    frames: list[PendingFrame]
    doubtful_answers: int = 0
    consecutive_500s: int = 0

    def __attrs_post_init__(self) -> None:
        for frame in self.frames:
            frame.request = self.id

    @property
    def digests(self) -> dict[int, list[str]]:
        return {frame.number: [w.digest for w in frame.wanted] for frame in self.frames}

    def body(self) -> bytes:
        lists = [
            b'"%s":[%s]'
            % (
                kind.encode(),
                b",".join(w.body for frame in self.frames for w in frame.wanted if w.kind == kind),
            )
            for kind in KINDS
        ]
        return b"{" + b",".join(lists) + b"}"


@define(kw_only=True)
class Creator:
    """Creates the annotations of frames in one job."""

    channel: JobAnnotations
    digest_of: Callable[[dict[str, Any]], str]
    """Computes the digest of an object in an answer."""
    options: UploadOptions
    run_id: str
    read_objects: Callable[[Collection[int]], ObjectsByFrame]
    """Reads the current objects of some frames of the job."""
    record: Callable[[Iterable[PendingFrame]], None]
    """Writes frames to the manifest, with the requests that are about to carry them."""
    requests: int = field(default=0, init=False)
    doubtful: int = field(default=0, init=False)
    sent: dict[int, str] = field(factory=dict, init=False)
    """The request that carried a frame, by frame."""
    ids: dict[Kind, array[int]] = field(
        factory=lambda: {kind: array("q") for kind in KINDS}, init=False
    )
    """Ids of all created objects and their elements."""

    _max_bytes: int = field(init=False)

    @_max_bytes.default
    def _initial_max_bytes(self) -> int:
        return self.options.max_bytes

    def group(self, frames: Iterable[PendingFrame]) -> list[CreateRequest]:
        """Distribute frames to requests. Each must be in the manifest before it is sent."""
        groups: list[list[PendingFrame]] = []
        count = size = 0
        for frame in frames:
            shapes, octets = len(frame.wanted), sum(len(w.body) + 1 for w in frame.wanted)
            if not shapes:
                continue
            if not groups or (
                count + shapes > self.options.max_shapes or size + octets > self._max_bytes
            ):
                groups.append([])
                count = size = 0
            groups[-1].append(frame)
            count, size = count + shapes, size + octets
        return [CreateRequest(frames=group) for group in groups]

    def create(self, requests: Iterable[CreateRequest]) -> None:
        """Send the requests.

        Afterwards each frame has all its annotations, or a failure, or waits for the outcome of a
        request (`PendingFrame.until`). Raises CvatUnavailable if CVAT stays unavailable, and
        CvatRefused if it refuses the whole job.
        """
        queue = deque(requests)
        while queue:
            request = queue.popleft()
            self.options.check()
            self.requests += 1
            self.sent.update((frame.number, request.id) for frame in request.frames)
            body = request.body()
            reply = self.channel.create(body)
            if reply.status == 413:  # The later requests would be refused, too.
                self._max_bytes = min(self._max_bytes, len(body) // 2)
            if reply.result == "refused":
                again = self._split(request, reply)
            elif reply.result == "done":
                again = self._assign_ids(request, reply)
            else:
                again = self._find_out(request, reply)
            queue.extendleft(reversed(again))

    def _assign_ids(self, request: CreateRequest, reply: Reply) -> list[CreateRequest]:
        """Give the ids in the answer to the frames; return what is to be sent again.

        CVAT changes the order of the objects, so they are identified by digest.
        """
        ids: defaultdict[str, deque[int]] = defaultdict(deque)
        try:
            for kind in KINDS:
                for item in reply.content[kind]:
                    ids[self.digest_of(item)].append(item["id"])
                    self.ids[kind].append(item["id"])
                    self.ids[kind].extend(part["id"] for part in item.get("elements") or ())
        except (KeyError, TypeError, ValueError, AttributeError):
            return self._find_out(request, evolve(reply, may_come_late=True))
        for frame in request.frames:
            left = []
            for encoded in frame.wanted:
                if ids[encoded.digest]:
                    found = ids[encoded.digest].popleft()
                    frame.created.append(
                        ManifestItem(id=found, digest=encoded.digest, run=self.run_id)
                    )
                else:
                    left.append(encoded)
            frame.wanted = left
        dropped = [frame for frame in request.frames if frame.wanted]
        return self._send_dropped(dropped, reply) if dropped else []

    def _send_dropped(self, frames: list[PendingFrame], reply: Reply) -> list[CreateRequest]:
        """Return a request for annotations that CVAT has left out of its answer.

        They may be there although the answer does not name them. A frame that is left out
        repeatedly fails.
        """
        self.doubtful += 1
        existing = self.read_objects([frame.number for frame in frames])
        for frame in frames:
            created, missing = find_created(
                [w.digest for w in frame.wanted],
                existing.get(frame.number, []),
                frame.items,
                self.run_id,
            )
            self._take(frame, created)
            frame.wanted = [frame.wanted[index] for index in missing]
            frame.silent_drops += bool(missing)
            if frame.silent_drops >= MAX_SILENT_DROPS:
                frame.fail(dropped_annotations(len(missing)))
        return self._record([[frame for frame in frames if frame.wanted]])

    def _find_out(self, request: CreateRequest, reply: Reply) -> list[CreateRequest]:
        """Find out what became of a request; return what is to be sent again.

        If it may still be carried out, nothing is sent again: its frames wait.
        """
        until = time.time() + self.options.retry_policy.request_lifetime
        self.doubtful += 1
        request.doubtful_answers += 1
        request.consecutive_500s = request.consecutive_500s + 1 if reply.status == 500 else 0
        for frame in request.frames:
            frame.until = until if reply.may_come_late else None
        self.channel.pause(reply, request.doubtful_answers)
        looked_at = time.time()
        existing = self.read_objects([frame.number for frame in request.frames])
        sent = request.digests
        candidates = {
            frame.number: candidates_of(
                sent[frame.number], existing.get(frame.number, ()), frame.items
            )
            for frame in request.frames
        }
        sent_again = all(f.doubtful.issuperset(sent[f.number]) for f in request.frames)
        traces = find_traces(sent, candidates, self.run_id, sent_again=sent_again)
        if traces is None and reply.may_come_late and looked_at < until:
            return []
        for frame in request.frames:
            frame.until = None
            if traces:
                self._take(frame, traces.items[frame.number])
                frame.doubtful.update(one.digest for one in traces.surplus[frame.number])
                frame.wanted = []
            else:
                frame.doubtful.update(sent[frame.number])
        if traces:
            return []
        if request.consecutive_500s >= MAX_CONSECUTIVE_500S:
            return self._split(request, reply)
        if request.doubtful_answers >= MAX_DOUBTFUL_ANSWERS:
            raise CvatUnavailable(
                f"job {self.channel.job_id}: CVAT does not store the annotations of frame "
                f"{request.frames[0].number} and later frames (last of {MAX_DOUBTFUL_ANSWERS} "
                f"answers: {reply.text}); uploads so far are recorded, run this again later"
            )
        self.record(request.frames)  # with what is sent again
        return [request]

    def _take(self, frame: PendingFrame, items: Sequence[ManifestItem]) -> None:
        frame.created += items
        for item in items:
            self.ids[kind_of_digest(item.digest)].append(item.id)

    def _split(self, request: CreateRequest, reply: Reply) -> list[CreateRequest]:
        """Halve a refused request, or fail its only frame. CVAT has stored nothing of it."""
        if len(request.frames) > 1:
            middle = len(request.frames) // 2
            return self._record([request.frames[:middle], request.frames[middle:]])
        (frame,) = request.frames
        frame.fail(refused_frame(frame, reply, size=len(request.body())))
        return []

    def _record(self, groups: list[list[PendingFrame]]) -> list[CreateRequest]:
        """Make requests of groups of frames, and write them to the manifest."""
        requests = [CreateRequest(frames=group) for group in groups if group]
        if requests:
            self.record(frame for request in requests for frame in request.frames)
        return requests
