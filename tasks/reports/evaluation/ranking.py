"""What to correct first: tables of frames and jobs, with links into CVAT."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from cvat_flows.tasks.evaluate.corrections import RankedFrame, RankedJob
from cvat_flows.tasks.evaluate.predictions import Predictions
from cvat_flows.tasks.evaluate.queue.issues import MadeIssues
from cvat_flows.tasks.evaluate.queue.order import QueuedJob
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted, escape_markdown, link, on_one_line, table
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv

MAX_RANKED = 20
"""Frames, jobs and mistakes in a table. The files have all."""
MAX_QUEUED = 100
"""Jobs in the table of their order."""
_MEASURES = (
    ("unsure", "detections whose score is within 0.1 of their threshold"),
    ("gone", "objects that the frames before and after have at the same place"),
    ("rare", "detections of a label that less than one frame in a hundred has"),
    ("unusual number", "far more or fewer detections than the frames around"),
    ("disputed", "objects that only one of two functions detects"),
)


@frozen(kw_only=True, eq=False)
class RankingReport:
    """Frames by the doubts that detections raise.

    Attributes:
        media: The CVAT task.
        function: Name of the function.
        predictions: What it detected.
        ranked: The frames, the most doubtful first.
        jobs: The unfinished jobs, in the order in which they are best corrected.
        issues: What became of the issues in CVAT; None if none were wanted.
        issues_error: Why they were not all created.
        files: Titles and paths of files in the storage.
    """

    media: TaskMedia
    function: str
    predictions: Predictions = field(repr=False)
    ranked: Sequence[RankedFrame] = field(repr=False)
    jobs: Sequence[QueuedJob] = field(repr=False)
    issues: MadeIssues | None = None
    issues_error: str = ""
    files: list[tuple[str, str]] = field(factory=list)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        return (
            f"{len(self.ranked):,} of {counted(len(self.predictions.frames), 'frame')} may need "
            "corrections"
        )

    @property
    def is_complete(self) -> bool:
        """Whether the function worked on all frames, and the wanted issues are there."""
        return not self.predictions.failed and not self.issues_error

    def job_url(self, job_id: int) -> str:
        """Return the address of a job in CVAT."""
        return f"{self.media.task_url}/jobs/{job_id}"


def ranking_markdown(report: RankingReport) -> str:
    """Make the page of a ranking without a truth."""
    parts = [
        f"## What to correct first in {escape_markdown(str(report.media), 120)}",
        f"**{report.sentence}**, as the detections of {escape_markdown(report.function, 120)} "
        "tell. Nobody has checked them.",
        _issues(report),
        _frames_table(report.media, report.ranked),
        table(["why", "what it counts"], _MEASURES),
        *_order(report),
    ]
    return "\n\n".join(part for part in parts if part)


def _issues(report: RankingReport) -> str:
    if report.issues_error:
        return f"**Issues in CVAT:** {escape_markdown(report.issues_error, 500)}"
    return f"Issues in CVAT: {report.issues.sentence}." if report.issues else ""


def _order(report: RankingReport) -> list[str]:
    if not report.jobs:
        return ["All jobs are finished: there is none to hand out."]
    rows = [
        (
            f"{one.place}",
            link(f"job {one.job_id}", report.job_url(one.job_id)),
            f"{one.frames:,}",
            f"{one.corrections:g}",
            f"{one.mean:.2f}",
            escape_markdown(one.assignee, 40) or "nobody",
            f"{one.stage}, {one.state}",
        )
        for one in report.jobs[:MAX_QUEUED]
    ]
    return [
        "### Jobs in the order in which they are best corrected",
        "Most corrections for each frame first. Finished jobs are left out.",
        table(
            ["", "job", "frames", "corrections", "for each frame", "assignee", "stage and state"],
            rows,
        ),
        f"{len(report.jobs) - MAX_QUEUED:,} more are in `jobs.csv`."
        if len(report.jobs) > MAX_QUEUED
        else "",
    ]


def ranking_tables(
    media: TaskMedia, ranked: Sequence[RankedFrame], jobs: Sequence[RankedJob]
) -> list[str]:
    """Return tables of the first frames and jobs."""
    rows = [
        (
            link(f"job {one.job_id}", f"{media.task_url}/jobs/{one.job_id}"),
            f"{one.frames:,}",
            f"{one.corrections:g}",
            f"{one.mean:.2f}",
        )
        for one in jobs[:MAX_RANKED]
    ]
    return [
        _frames_table(media, ranked),
        table(["job", "frames", "corrections", "for each frame"], rows),
    ]


def _frames_table(media: TaskMedia, ranked: Sequence[RankedFrame]) -> str:
    frames = [
        (
            link(f"frame {one.frame}", media.frame_url(media.frame(one.frame))),
            escape_markdown(media.frame(one.frame).name, 60),
            f"{one.corrections:g}",
            ", ".join(one.reasons),
        )
        for one in ranked[:MAX_RANKED]
    ]
    return table(["frame", "file", "corrections", "why"], frames)


def jobs_csv(report: RankingReport) -> bytes:
    """Return all unfinished jobs, in the order in which they are best corrected."""
    return to_csv(
        ("place", "job", "frames", "corrections", "assignee", "stage", "state", "url"),
        (
            [
                one.place,
                one.job_id,
                one.frames,
                one.corrections,
                on_one_line(one.assignee, 200),
                one.stage,
                one.state,
                report.job_url(one.job_id),
            ]
            for one in report.jobs
        ),
    )


def ranking_csv(media: TaskMedia, ranked: Sequence[RankedFrame]) -> bytes:
    """Return all ranked frames."""
    return to_csv(
        ("frame", "name", "corrections", "reasons", "url"),
        (
            [
                one.frame,
                on_one_line(media.frame(one.frame).name, 200),
                one.corrections,
                ", ".join(one.reasons),
                media.frame_url(media.frame(one.frame)),
            ]
            for one in ranked
        ),
    )
