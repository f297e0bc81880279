"""Create annotations in requests of whole frames, each annotation exactly once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from cvat_flows.tasks.cvat.annotation_json import KINDS, annotation_to_json
from cvat_flows.tasks.cvat.digest import AttributeDefaults, digest
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations, Reply
from cvat_flows.tasks.cvat.retry import MAX_CONSECUTIVE_500S
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.upload.frame import PendingFrame
from cvat_flows.tasks.upload.ownership import ExistingObject, ManifestItem
from cvat_flows.tasks.upload.plan import find_created
from cvat_flows.tasks.upload.result import UploadOptions

MAX_DOUBTFUL_ANSWERS = 12
"""Doubtful answers to one request, without any progress, after which the run gives up."""
MAX_SILENT_DROPS = 2
"""Answers of 200 without annotations of the frame after which the frame fails."""

ObjectsByFrame = Mapping[int, list[ExistingObject]]


@define(kw_only=True)
class CreateRequest:
    """The frames of one request, and its doubtful answers so far."""

    frames: list[PendingFrame]
    doubtful_answers: int = 0
    consecutive_500s: int = 0

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
    defaults: AttributeDefaults
    options: UploadOptions
    run_id: str
    read_objects: Callable[[Collection[int]], ObjectsByFrame]
    """Reads the current objects of some frames of the job."""
    requests: int = field(default=0, init=False)
    doubtful: int = field(default=0, init=False)

    def create(self, frames: Iterable[PendingFrame]) -> None:
        """Create the wanted annotations of the frames.

        Afterwards each frame has all its annotations, or a failure. Raises CvatUnavailable if CVAT
        stays unavailable, and CvatRefused if it refuses the whole job. The manifest then contains
        what was about to be sent.
        """
        queue = deque(self._requests(frames))
        while queue:
            request = queue.popleft()
            self.options.check()
            self.requests += 1
            reply = self.channel.create(request.body())
            if reply.result == "refused":
                queue.extendleft(reversed(self._split(request, reply)))
            elif reply.result == "doubtful" or not self._assign_ids(request, reply):
                queue.extendleft(reversed(self._read_back(request, reply)))

    def _requests(self, frames: Iterable[PendingFrame]) -> Iterator[CreateRequest]:
        request = CreateRequest(frames=[])
        count = size = 0
        for frame in frames:
            shapes, octets = len(frame.wanted), sum(len(w.body) + 1 for w in frame.wanted)
            if not shapes:
                continue
            if request.frames and (
                count + shapes > self.options.max_shapes or size + octets > self.options.max_bytes
            ):
                yield request
                request, count, size = CreateRequest(frames=[]), 0, 0
            request.frames.append(frame)
            count, size = count + shapes, size + octets
        if request.frames:
            yield request

    def _assign_ids(self, request: CreateRequest, reply: Reply) -> bool:
        """Give the ids in the answer to the frames.

        CVAT changes the order of the objects, so they are identified by digest.
        Returns False if the answer does not contain exactly what was sent.
        """
        ids: defaultdict[str, list[int]] = defaultdict(list)
        try:
            for kind in KINDS:
                for item in reply.content[kind]:
                    ids[digest(item, self.defaults)].append(item["id"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        sent = Counter(w.digest for frame in request.frames for w in frame.wanted)
        if {d: len(found) for d, found in ids.items()} != sent:
            return False
        for frame in request.frames:
            for encoded in frame.wanted:
                found = ids[encoded.digest].pop(0)
                frame.created.append(ManifestItem(id=found, digest=encoded.digest, run=self.run_id))
            frame.wanted = []
        return True

    def _read_back(self, request: CreateRequest, reply: Reply) -> list[CreateRequest]:
        """Find out what was created, and return the requests to send again."""
        is_clear = reply.result == "done"
        self.doubtful += 1
        request.doubtful_answers += 1
        request.consecutive_500s = request.consecutive_500s + 1 if reply.status == 500 else 0
        if not is_clear:
            for frame in request.frames:
                frame.doubtful.update(w.digest for w in frame.wanted)
            self.channel.pause(reply, request.doubtful_answers)
        wanted_before = sum(len(frame.wanted) for frame in request.frames)
        existing = self.read_objects([frame.number for frame in request.frames])
        for frame in request.frames:
            sent = [w.digest for w in frame.wanted]
            created, missing = find_created(
                sent, existing.get(frame.number, []), frame.items, self.run_id
            )
            frame.created += created
            frame.wanted = [frame.wanted[index] for index in missing]
            if is_clear and missing:
                frame.silent_drops += 1
                if frame.silent_drops >= MAX_SILENT_DROPS:
                    frame.fail(
                        _failure(
                            f"CVAT answered 200 but left out {len(missing)} of the frame's "
                            "annotations, twice; check the frame and its labels in CVAT"
                        )
                    )
        remaining = [frame for frame in request.frames if frame.wanted]
        if not remaining:
            return []
        if sum(len(frame.wanted) for frame in remaining) < wanted_before:
            return [CreateRequest(frames=remaining)]
        request.frames = remaining
        if request.consecutive_500s >= MAX_CONSECUTIVE_500S:
            return self._split(request, reply)
        if request.doubtful_answers >= MAX_DOUBTFUL_ANSWERS:
            raise CvatUnavailable(
                f"job {self.channel.job_id}: CVAT does not store the annotations of frame "
                f"{remaining[0].number} and later frames (last of {MAX_DOUBTFUL_ANSWERS} answers: "
                f"{reply.text}); uploads so far are recorded, run this again later"
            )
        return [request]

    def _split(self, request: CreateRequest, reply: Reply) -> list[CreateRequest]:
        """Halve a refused request, or fail its only frame. CVAT has stored nothing of it."""
        if len(request.frames) > 1:
            middle = len(request.frames) // 2
            return [
                CreateRequest(frames=request.frames[:middle]),
                CreateRequest(frames=request.frames[middle:]),
            ]
        (frame,) = request.frames
        text, index = _explain(frame, reply)
        frame.fail(_failure(f"CVAT refused the frame's annotations: {text}", index))
        return []


def _failure(error: str, index: int | None = None) -> Failure:
    return Failure(step="upload", error=error, error_type="UploadRefused", annotation_index=index)


def _explain(frame: PendingFrame, reply: Reply) -> tuple[str, int | None]:
    """Return CVAT's error, and the index of the annotation at fault in the outcome.

    For a list of annotations CVAT answers a list of errors of the same length, with an empty error
    for each valid annotation.
    """
    try:
        errors: Any = json.loads(reply.body)
        for kind in KINDS:
            of_kind = [w for w in frame.wanted if w.kind == kind]
            for encoded, error in zip(of_kind, errors.get(kind, []), strict=False):
                if error:
                    sent = json.loads(encoded.body)
                    bodies = map(annotation_to_json, frame.outcome.annotations or ())
                    return (
                        f"{sent.get('type', 'tag')} of label id {sent['label_id']}: "
                        f"{json.dumps(error)[:300]} ({reply.status})",
                        next((n for n, body in enumerate(bodies) if body == sent), None),
                    )
    except (ValueError, AttributeError, TypeError):
        pass
    return reply.text, None
