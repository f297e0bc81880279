"""Create annotations in bounded requests of whole frames, each exactly once."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from cvat_flows.tasks.cvat.annotation_json import KINDS, annotation_to_json
from cvat_flows.tasks.cvat.digest import AttributeDefaults, digest
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations, Reply
from cvat_flows.tasks.cvat.retry import MAX_CONSECUTIVE_500S
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.upload.frame import FrameWork
from cvat_flows.tasks.upload.plan import Item, Present, reconcile
from cvat_flows.tasks.upload.result import UploadOptions

TRIES = 12
"""Doubtful answers to one request, without any of it getting in, before the run gives up."""
MAX_SILENT_DROPS = 2
"""Answers of 200 that left the same frame's annotations out, before the frame fails."""

PresentByFrame = Mapping[int, list[Present]]


@define(kw_only=True)
class Group:
    """The frames of one request."""

    works: list[FrameWork]
    doubts: int = 0
    server_errors: int = 0

    def body(self) -> bytes:
        lists = [
            b'"%s":[%s]'
            % (
                kind.encode(),
                b",".join(w.body for work in self.works for w in work.wanted if w.kind == kind),
            )
            for kind in KINDS
        ]
        return b"{" + b",".join(lists) + b"}"


@define(kw_only=True)
class Sender:
    """Sends the frames of one job."""

    channel: JobAnnotations
    defaults: AttributeDefaults
    options: UploadOptions
    run_id: str
    read_present: Callable[[Collection[int]], PresentByFrame]
    """Read back what some frames of the job hold now."""
    requests: int = field(default=0, init=False)
    doubtful: int = field(default=0, init=False)

    def send(self, works: Iterable[FrameWork]) -> None:
        """Create what the frames want. Afterwards each frame has it all, or has failed.

        Raises CvatUnavailable if CVAT stays away, CvatRefused if it refuses the job altogether;
        what had been sent until then is in the manifest as intended.
        """
        queue = deque(self._groups(works))
        while queue:
            group = queue.popleft()
            self.options.check()
            self.requests += 1
            reply = self.channel.create(group.body())
            if reply.result == "refused":
                queue.extendleft(reversed(self._divide(group, reply)))
            elif reply.result == "doubtful" or not self._account(group, reply):
                queue.extendleft(reversed(self._look_again(group, reply)))

    def _groups(self, works: Iterable[FrameWork]) -> Iterator[Group]:
        group = Group(works=[])
        count = size = 0
        for work in works:
            shapes, octets = len(work.wanted), sum(len(w.body) + 1 for w in work.wanted)
            if not shapes:
                continue
            if group.works and (
                count + shapes > self.options.max_shapes or size + octets > self.options.max_bytes
            ):
                yield group
                group, count, size = Group(works=[]), 0, 0
            group.works.append(work)
            count, size = count + shapes, size + octets
        if group.works:
            yield group

    def _account(self, group: Group, reply: Reply) -> bool:
        """Give the ids of a clear answer to the frames; False if it is not what was sent.

        The answer is grouped and ordered otherwise than the request (CVAT_FACTS 5), so objects
        are found again by digest.
        """
        ids: defaultdict[str, list[int]] = defaultdict(list)
        try:
            for kind in KINDS:
                for item in reply.content[kind]:
                    ids[digest(item, self.defaults)].append(item["id"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        sent = [w.digest for work in group.works for w in work.wanted]
        counts: defaultdict[str, int] = defaultdict(int)
        for one in sent:
            counts[one] += 1
        if {d: len(found) for d, found in ids.items()} != counts:
            return False
        for work in group.works:
            for encoded in work.wanted:
                found = ids[encoded.digest].pop(0)
                work.landed.append(Item(id=found, digest=encoded.digest, run=self.run_id))
            work.wanted = []
        return True

    def _look_again(self, group: Group, reply: Reply) -> list[Group]:
        """Read back after a doubtful answer, and return what is to be sent once more."""
        clear = reply.result == "done"
        self.doubtful += 1
        group.doubts += 1
        group.server_errors = group.server_errors + 1 if reply.status == 500 else 0
        if not clear:
            for work in group.works:
                work.unsure.update(w.digest for w in work.wanted)
            self.channel.pause(reply, group.doubts)
        before = sum(len(work.wanted) for work in group.works)
        present = self.read_present([work.number for work in group.works])
        for work in group.works:
            sent = [w.digest for w in work.wanted]
            landed, missing = reconcile(sent, present.get(work.number, []), work.items, self.run_id)
            work.landed += landed
            work.wanted = [work.wanted[index] for index in missing]
            if clear and missing:
                work.dropped += 1
                if work.dropped >= MAX_SILENT_DROPS:
                    work.fail(
                        _failure(
                            f"CVAT answered 200 but left out {len(missing)} of the frame's "
                            "annotations, twice; check the frame and its labels in CVAT"
                        )
                    )
        left = [work for work in group.works if work.wanted]
        if not left:
            return []
        if sum(len(work.wanted) for work in left) < before:
            return [Group(works=left)]
        group.works = left
        if group.server_errors >= MAX_CONSECUTIVE_500S:
            return self._divide(group, reply)
        if group.doubts >= TRIES:
            raise CvatUnavailable(
                f"job {self.channel.job_id}: CVAT does not take frame {left[0].number} and those "
                f"after it (last of {TRIES} answers: {reply.text}); what is uploaded is recorded, "
                "run this again later"
            )
        return [group]

    def _divide(self, group: Group, reply: Reply) -> list[Group]:
        """Halve a refused request, or fail its only frame. Nothing of a refused one is stored."""
        if len(group.works) > 1:
            middle = len(group.works) // 2
            return [Group(works=group.works[:middle]), Group(works=group.works[middle:])]
        (work,) = group.works
        text, index = _fault(work, reply)
        work.fail(_failure(f"CVAT refused the frame's annotations: {text}", index))
        return []


def _failure(error: str, index: int | None = None) -> Failure:
    return Failure(step="upload", error=error, error_type="UploadRefused", annotation_index=index)


def _fault(work: FrameWork, reply: Reply) -> tuple[str, int | None]:
    """CVAT's answer with the annotation that it is about, and that one's index in the outcome.

    For a list CVAT answers a list of the same length, empty where there is nothing wrong.
    """
    try:
        errors: Any = json.loads(reply.body)
        for kind in KINDS:
            mine = [w for w in work.wanted if w.kind == kind]
            for encoded, error in zip(mine, errors.get(kind, []), strict=False):
                if error:
                    sent = json.loads(encoded.body)
                    bodies = map(annotation_to_json, work.outcome.annotations or ())
                    return (
                        f"{sent.get('type', 'tag')} of label id {sent['label_id']}: "
                        f"{json.dumps(error)[:300]} ({reply.status})",
                        next((n for n, body in enumerate(bodies) if body == sent), None),
                    )
    except (ValueError, AttributeError, TypeError):
        pass
    return reply.text, None
