"""What became of a run's frames: rows, counts and sentences, of bounded size a frame."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isnan

import pandas as pd
from attrs import define, evolve, field

from cvat_flows.tasks.matching.result import MatchRow
from cvat_flows.tasks.model.frames import Failure, Outcome, Step
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line, shorten_name
from cvat_flows.tasks.reports.row import FrameRow, State, row_of
from cvat_flows.tasks.reports.table import table_of
from cvat_flows.tasks.upload.result import FrameUpload

FAILURES_KEPT = 100
"""Failures that are kept whole, with their tracebacks; of the others the row has to do."""

_KINDS: dict[Step, tuple[str, str]] = {
    "fetch": ("unreadable", "unreadable"),
    "detect": ("function error", "function errors"),
    "validate": ("invalid output", "invalid outputs"),
    "remap": ("not to be mapped", "not to be mapped"),
    "upload": ("rejected by CVAT", "rejected by CVAT"),
}
"""What to say of one frame, and of several, that failed at a step."""


@define(kw_only=True, eq=False)
class RunReport:
    """What a run did, as far as it got."""

    media: TaskMedia
    function: str
    """Title of the function."""
    fingerprint: str | None
    labels: tuple[Label, ...] = field(repr=False)
    match: tuple[MatchRow, ...] = field(default=(), repr=False)
    """How the function's labels and the task's were matched."""
    dry_run: bool = False
    call: str = ""
    """The command that does the same run again."""
    files: list[tuple[str, str]] = field(factory=list)
    """What was written to the storage about the run: titles and paths."""
    rows: dict[int, FrameRow] = field(factory=dict, repr=False)
    created: int = 0
    """Annotations that the run put into CVAT (in a dry run: would put)."""
    kept: int = 0
    """Annotations of ours that were there already."""
    deleted: int = 0
    counts: Counter[str] = field(factory=Counter)
    """What the geometry policy, the mapping and the thresholds did."""
    stopped: str | None = None
    """Why the run ended before uploading, if it did."""
    seconds: float = 0.0
    step_seconds: Mapping[Step, float] = field(factory=dict)
    """Wall time by step, summed over its task runs; steps of several batches overlap."""
    failures: dict[int, Failure] = field(factory=dict, repr=False)
    """Failures of the first failed frames, by frame number."""
    _failed: dict[int, FrameRow] = field(factory=dict, init=False, repr=False)
    _states: Counter[str] = field(factory=Counter, init=False, repr=False)
    _started: float = field(factory=time.monotonic, init=False, repr=False)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Take outcomes in; a later one of the same frame replaces the earlier."""
        names = {label.id: label.name for label in self.labels}
        for outcome in outcomes:
            number = outcome.frame.number
            row = row_of(outcome, names)
            before = self.rows.get(number)
            if before is None:
                self.counts.update(outcome.counts)
            else:
                self._states[before.outcome] -= 1
                self._failed.pop(number, None)
            self.rows[number] = row
            self._states[row.outcome] += 1
            if outcome.failure:
                self._failed[number] = row
                if len(self.failures) < FAILURES_KEPT:
                    self.failures[number] = outcome.failure

    def add_uploads(self, frames: Iterable[FrameUpload]) -> None:
        """Take in what an upload did to frames of one job; those of other jobs add up."""
        for done in frames:
            self.created += done.created
            self.kept += done.kept
            self.deleted += done.deleted
            row = self.rows.get(done.frame)
            if row is None or not (done.created or done.kept or done.deleted):
                continue
            row = evolve(
                row,
                created=row.created + done.created,
                kept=row.kept + done.kept,
                deleted=row.deleted + done.deleted,
            )
            self.rows[done.frame] = row
            if done.frame in self._failed:
                self._failed[done.frame] = row

    def finish(self) -> None:
        self.seconds = time.monotonic() - self._started

    def count(self, state: State) -> int:
        return self._states[state]

    @property
    def cached(self) -> int:
        """Annotated frames whose detections came from the cache."""
        return sum(row.cached and row.outcome == "annotated" for row in self.rows.values())

    @property
    def failed(self) -> list[FrameRow]:
        """Rows of the failed frames in order of frame number."""
        return [row for _, row in sorted(self._failed.items())]

    @property
    def failed_count(self) -> int:
        return len(self._failed)

    @property
    def shapes_by_label(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for row in self.rows.values():
            if row.outcome == "annotated":
                total.update(row.labels)
        return total

    def scores_by_label(self, bins: int) -> dict[str, list[int]]:
        """For each label the number of annotations by score, in `bins` equal parts of 0 to 1."""
        histogram: dict[str, list[int]] = {}
        for row in self.rows.values():
            if row.outcome != "annotated":
                continue
            for label, score in zip(row.labels, row.scores, strict=True):
                if not isnan(score):
                    part = min(max(int(score * bins), 0), bins - 1)
                    histogram.setdefault(label, [0] * bins)[part] += 1
        return histogram

    @property
    def frames_per_second(self) -> float:
        """Frames annotated a second of the run's wall time, its start included."""
        return self.count("annotated") / self.seconds if self.seconds else 0.0

    @property
    def sentence(self) -> str:
        """The state message of the flow run."""
        if self.stopped:
            return on_one_line(self.stopped)
        failed, annotated = self.failed_count, self.count("annotated")
        verb = "would be annotated" if self.dry_run else "annotated"
        text = f"{annotated:,} of {annotated + failed:,} frames {verb}"
        if annotated + failed == 0:
            text = "nothing to do"
        if self.count("skipped"):
            text += f", {self.count('skipped'):,} skipped ({self.skip_reasons()})"
        if failed:
            text += f", {failed:,} failed ({self.failure_kinds()}): {self.failed_frames()}"
        return text

    def failure_kinds(self) -> str:
        """How many frames failed in which way: `2 unreadable, 2 rejected by CVAT`."""
        kinds = Counter(row.step for row in self._failed.values() if row.step)
        return ", ".join(f"{count:,} {_KINDS[step][count > 1]}" for step, count in _ordered(kinds))

    def skip_reasons(self) -> str:
        """How many frames were skipped for which reason: `10 done before, 2 deleted in CVAT`."""
        reasons = Counter(row.skipped for row in self.rows.values() if row.outcome == "skipped")
        return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())

    def failed_frames(self, most: int = 5) -> str:
        """The failed frames' numbers and names, the first few of them."""
        rows = self.failed
        named = ", ".join(f"frame {row.frame} {shorten_name(row.name)}" for row in rows[:most])
        return f"{named} and {len(rows) - most:,} more" if len(rows) > most else named

    def table(self) -> pd.DataFrame:
        """The per-frame table; docs/reports.md documents its columns."""
        return table_of(row for _, row in sorted(self.rows.items()))


def _ordered(kinds: Counter[Step]) -> list[tuple[Step, int]]:
    """In the order of the steps."""
    return [(step, kinds[step]) for step in _KINDS if kinds[step]]
