"""What happened to a run's frames: rows, counts and sentences. Each frame takes limited memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isnan
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from cvat_flows.tasks.check.remap import BELOW_THRESHOLD, UNMATCHED
from cvat_flows.tasks.check.validate import DROPPED
from cvat_flows.tasks.fetch.plan import SET_ASIDE
from cvat_flows.tasks.matching.result import MatchRow
from cvat_flows.tasks.model.frames import Failure, Outcome, Step
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted, on_one_line, shorten_name
from cvat_flows.tasks.reports.left_out import REMOVED, WITHHELD, LeftOut, describe, left_out
from cvat_flows.tasks.reports.run_html import run_html
from cvat_flows.tasks.reports.table import FrameRow, State, frame_row, make_table
from cvat_flows.tasks.upload.frames.result import FrameUpload

if TYPE_CHECKING:
    import pandas as pd

MAX_FAILURES_WITH_DETAILS = 100
"""Failures that are kept with their tracebacks. For the others only the row is kept."""

_FAILURE_WORDS: dict[Step, tuple[str, str]] = {
    "fetch": ("unreadable", "unreadable"),
    "detect": ("function error", "function errors"),
    "validate": ("invalid output", "invalid outputs"),
    "remap": ("not mappable", "not mappable"),
    "upload": ("rejected by CVAT", "rejected by CVAT"),
}
"""By step, what to call one failed frame and several failed frames."""


@define(kw_only=True, eq=False)
class RunReport:
    """What a run has done so far."""

    media: TaskMedia
    function: str
    """What people call the function; see `aa_functions.installed`."""
    fingerprint: str | None
    labels: tuple[Label, ...]
    match: tuple[MatchRow, ...] = field(default=())
    """How the function's labels match the task's."""
    dry_run: bool = False
    command: str = ""
    """Command line that repeats the run."""
    files: list[tuple[str, str]] = field(factory=list)
    """Titles and paths of the files about the run in the storage."""
    rows: dict[int, FrameRow] = field(factory=dict)
    created: int = 0
    """Annotations that the run created in CVAT (in a dry run: would create)."""
    kept: int = 0
    """Annotations that were already there."""
    deleted: int = 0
    withheld: int = 0
    """Annotations that were not created because people changed or deleted them."""
    removed: int = 0
    """Annotations of earlier runs that are gone from frames that this run skips as done."""
    not_selected: int = 0
    """Frames of the task that the options do not select."""
    replica_jobs: tuple[int, ...] = ()
    """Consensus replicas that the options do not select."""
    counts: Counter[str] = field(factory=Counter)
    """What the geometry policy, the mapping and the thresholds changed."""
    stopped: str | None = None
    """Why the run stopped before uploading, if it did."""
    seconds: float = 0.0
    """Wall time from the call that started the run to its end."""
    detect_seconds: float = 0.0
    """Wall time from the first frame until all are processed, without the upload."""
    step_seconds: Mapping[Step, float] = field(factory=dict)
    """Wall time by step, summed over task runs. Steps of several batches overlap."""
    failures: dict[int, Failure] = field(factory=dict)
    """Failures of the first failed frames, by frame number."""
    _failed: dict[int, FrameRow] = field(factory=dict, init=False)
    _states: Counter[str] = field(factory=Counter, init=False)
    _begin: float = field(factory=time.monotonic)
    _first_frame: float = field(factory=time.monotonic, init=False)

    def __repr__(self) -> str:
        return f"<RunReport of task {self.media.task_id}: {self.sentence}>"

    def _repr_html_(self) -> str:
        facts = [
            ("function", self.function),
            ("annotations", self.annotations),
            ("time", f"{self.seconds:,.1f} s, {self.frames_per_second:,.1f} frames/s"),
        ]
        by_label = dict(self.shapes_by_label.most_common())
        return run_html(self.media, self.sentence, facts, by_label, self.failed)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes. A later outcome of a frame replaces an earlier one."""
        names = {label.id: label.name for label in self.labels}
        for outcome in outcomes:
            number = outcome.frame.number
            row = frame_row(outcome, names)
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
                if len(self.failures) < MAX_FAILURES_WITH_DETAILS:
                    self.failures[number] = outcome.failure

    def add_uploads(self, frames: Iterable[FrameUpload]) -> None:
        """Add what an upload did to the frames of one job. A frame's numbers add up over jobs."""
        for upload in frames:
            self.created += upload.created
            self.kept += upload.kept
            self.deleted += upload.deleted
            self.withheld += upload.withheld
            row = self.rows.get(upload.frame)
            if row is None:
                continue
            row = evolve(
                row,
                created=row.created + upload.created,
                kept=row.kept + upload.kept,
                deleted=row.deleted + upload.deleted,
                withheld=row.withheld + upload.withheld,
            )
            self.rows[upload.frame] = row
            if upload.frame in self._failed:
                self._failed[upload.frame] = row

    def finish_detection(self) -> None:
        """Set `detect_seconds`."""
        self.detect_seconds = time.monotonic() - self._first_frame

    def finish(self) -> None:
        """Set `seconds`."""
        self.seconds = time.monotonic() - self._begin

    def count(self, state: State) -> int:
        """Return the number of frames in a state."""
        return self._states[state]

    @property
    def cached(self) -> int:
        """Number of annotated frames whose detections came from the cache."""
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
        """Return a histogram of the scores of each label, with `bins` equal bins from 0 to 1."""
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
        """Frames that were processed per second of `detect_seconds`."""
        processed = self.count("annotated") + self.failed_count
        return processed / self.detect_seconds if self.detect_seconds else 0.0

    @property
    def sentence(self) -> str:
        """The result in one sentence, for the state message of the flow run."""
        if self.stopped:
            return on_one_line(self.stopped)
        failed, annotated = self.failed_count, self.count("annotated")
        verb = "would be annotated" if self.dry_run else "annotated"
        text = f"{annotated:,} of {counted(annotated + failed, 'frame')} {verb}"
        if annotated + failed == 0:
            text = "nothing to do"
        if self.count("skipped"):
            text += f", {self.count('skipped'):,} skipped ({self.skip_reasons()})"
        if any(self.annotations_left_out.values()):
            text += f", annotations left out: {describe(self.annotations_left_out)}"
        if failed:
            text += f", {failed:,} failed ({self.failure_kinds()}): {self.failed_frames()}"
        return text

    @property
    def annotations(self) -> str:
        """Numbers of annotations: `5 created, 0 already there, 2 deleted`."""
        would = "would be " if self.dry_run else ""
        return (
            f"{self.created:,} {would}created, {self.kept:,} already there, "
            f"{self.deleted:,} {would}deleted"
        )

    @property
    def set_aside(self) -> int:
        """Number of frames that were not tried because they failed in each of the last runs."""
        return self._skipped()[SET_ASIDE]

    @property
    def annotations_left_out(self) -> Counter[str]:
        """Number of annotations that were not uploaded, by reason."""
        return Counter(
            {
                WITHHELD: self.withheld,
                REMOVED: self.removed,
                **{reason: self.counts[reason] for reason in (UNMATCHED, DROPPED, BELOW_THRESHOLD)},
            }
        )

    @property
    def left_out(self) -> list[LeftOut]:
        """What was left out, with the reason and the option that changes it."""
        return left_out(
            dict(self._skipped().most_common()),
            self.annotations_left_out,
            not_selected=self.not_selected,
            replica_jobs=self.replica_jobs,
        )

    def failure_kinds(self) -> str:
        """Return the number of failed frames by kind: `2 unreadable, 2 rejected by CVAT`."""
        by_step = Counter(row.step for row in self._failed.values() if row.step)
        return ", ".join(
            counted(by_step[step], *words)
            for step, words in _FAILURE_WORDS.items()
            if by_step[step]
        )

    def skip_reasons(self) -> str:
        """Return the number of skipped frames by reason: `10 done before, 2 deleted in CVAT`."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self._skipped().most_common())

    def _skipped(self) -> Counter[str]:
        """Return the number of skipped frames by reason."""
        return Counter(row.skipped for row in self.rows.values() if row.outcome == "skipped")

    def failed_frames(self, max_count: int = 5) -> str:
        """Return the numbers and names of the first failed frames."""
        rows = self.failed
        named = ", ".join(f"frame {row.frame} {shorten_name(row.name)}" for row in rows[:max_count])
        return f"{named} and {len(rows) - max_count:,} more" if len(rows) > max_count else named

    def table(self) -> pd.DataFrame:
        """Return the per-frame table."""
        return make_table(self.sorted_rows())

    def sorted_rows(self) -> list[FrameRow]:
        """Return the rows in the order of their frames."""
        return [row for _, row in sorted(self.rows.items())]
