"""Give the groups of a function numbers that nothing else in the CVAT job has.

A function numbers its groups from 1 on each image. In CVAT a number joins all annotations of a job
that have it, also on other frames and those of people. So each group gets a number of its own when
it is uploaded, and the frame's record says which. Digests contain the function's number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from cvat_flows.tasks.cvat.annotation_json import iter_with_tracks
from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.record.ownership import ExistingObject

Item = dict[str, Any]
"""A tag or shape in CVAT's JSON."""


@define(kw_only=True, eq=False)
class JobGroups:
    """The numbers of groups in one job."""

    recorded: Callable[[int], FrameRecord | None]
    """Returns the record of a frame."""
    read_job: Callable[[], bytes]
    """Returns the job's annotations as JSON."""
    _of_frame: dict[int, dict[int, int]] = field(factory=dict, init=False)
    """By frame, the function's number of a group by its number in the job."""
    _others: dict[int, dict[int, list[str]]] = field(factory=dict, init=False)
    """By frame and number in the job, the digests of objects in groups that are not recorded."""
    _frames: dict[int, int | None] | None = field(default=None, init=False)
    """By number in the job, the frame of its annotations, or None if it has several or a track."""
    _highest: int = field(default=0, init=False)

    def translate(self, item: Item) -> Item:
        """Return an object of the job with the function's number of its group.

        The number of any other group becomes a text.
        """
        number = item.get("group")
        if not number:
            return item
        known = self._known(item["frame"]).get(number)
        return {**item, "group": _other(number) if known is None else known}

    def note(self, item: Mapping[str, Any], digest: str) -> None:
        """Remember an object that was read before anything was sent, if its group is unknown."""
        number = item.get("group")
        if number and number not in self._known(item["frame"]):
            self._others.setdefault(item["frame"], {}).setdefault(number, []).append(digest)

    def reserve(self, frames: Iterable[int]) -> None:
        """Give no new group a number that is recorded of these frames."""
        for frame in frames:
            self._highest = max(self._highest, *self._known(frame), 0)

    def adopt(
        self,
        frame: int,
        bodies: Sequence[Item],
        existing: list[ExistingObject],
        digest_of: Callable[[Item], str],
    ) -> list[ExistingObject]:
        """Recognise groups of the frame that are there, but not recorded (a lost manifest).

        A group is recognised if all objects with its number, and no others, are wanted.

        Args:
            frame: Number of the frame.
            bodies: All wanted annotations, with the function's numbers.
            existing: The frame's objects.
            digest_of: Computes a digest.

        Returns:
            The frame's objects with the digests that they have now.
        """
        changed: dict[str, str] = {}
        for number, digests in self._others.get(frame, {}).items():
            for group in sorted({body["group"] for body in bodies if body.get("group")}):
                members = [body for body in bodies if body.get("group") == group]
                there = [digest_of({**body, "group": _other(number)}) for body in members]
                if group not in self._known(frame).values() and Counter(there) == Counter(digests):
                    self._of_frame.setdefault(frame, {})[number] = group
                    changed |= zip(there, map(digest_of, members), strict=True)
                    break
        return [evolve(one, digest=changed.get(one.digest, one.digest)) for one in existing]

    def assign(self, frame: int, body: Item) -> None:
        """Give an annotation that is about to be sent its number in the job."""
        for part in (body, *body.get("elements", ())):
            if part.get("group"):
                part["group"] = self._number(frame, part["group"])

    def pairs(self, frame: int) -> tuple[tuple[int, int], ...]:
        """Return what is to be recorded of a frame: numbers in the job and of the function."""
        return tuple(self._known(frame).items())

    def _known(self, frame: int) -> Mapping[int, int]:
        known = self._of_frame.get(frame)
        if known is None:
            record = self.recorded(frame)
            known = dict(record.groups) if record else {}
            if known:
                self._of_frame[frame] = known
        return known

    def _number(self, frame: int, group: int) -> int:
        known = self._of_frame.setdefault(frame, dict(self._known(frame)))
        used = self._used()
        for number, of_function in reversed(known.items()):
            if of_function == group and (number not in used or self._is_ours(frame, number)):
                return number
        self._highest += 1
        known[self._highest] = group
        return self._highest

    def _is_ours(self, frame: int, number: int) -> bool:
        """Return whether a number that is used in the job is still that of our group."""
        record = self.recorded(frame)
        has_items = record is None or bool(record.items or record.deleting)
        return has_items and self._used()[number] == frame

    def _used(self) -> dict[int, int | None]:
        if self._frames is None:
            self._frames = {}
            for _, item in iter_with_tracks(self.read_job()):
                for number in _numbers(item):
                    is_same = self._frames.get(number, item["frame"]) == item["frame"]
                    is_same = is_same and "shapes" not in item
                    self._frames[number] = item["frame"] if is_same else None
            self._highest = max(self._highest, *self._frames, 0)
        return self._frames


def _other(number: int) -> str:
    return f"#{number}"


def _numbers(item: Mapping[str, Any]) -> Iterator[int]:
    for part in (item, *(item.get("elements") or ())):
        if part.get("group"):
            yield part["group"]
