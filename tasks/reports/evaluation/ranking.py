"""What to correct first: tables of frames and jobs, with links into CVAT."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from cvat_flows.tasks.evaluate.corrections import RankedFrame, RankedJob
from cvat_flows.tasks.evaluate.predictions import Predictions
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted, escape_markdown, link, on_one_line, table
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv

MAX_RANKED = 20
"""Frames, jobs and mistakes in a table. The files have all."""
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
        ranked_jobs: The same for jobs.
        files: Titles and paths of files in the storage.
    """

    media: TaskMedia
    function: str
    predictions: Predictions = field(repr=False)
    ranked: Sequence[RankedFrame] = field(repr=False)
    ranked_jobs: Sequence[RankedJob] = field(repr=False)
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
        """Whether the function worked on all frames."""
        return not self.predictions.failed


def ranking_markdown(report: RankingReport) -> str:
    """Make the page of a ranking without a truth."""
    parts = [
        f"## What to correct first in {escape_markdown(str(report.media), 120)}",
        f"**{report.sentence}**, as the detections of {escape_markdown(report.function, 120)} "
        "tell. Nobody has checked them.",
        *ranking_tables(report.media, report.ranked, report.ranked_jobs),
        table(["why", "what it counts"], _MEASURES),
    ]
    return "\n\n".join(parts)


def ranking_tables(
    media: TaskMedia, ranked: Sequence[RankedFrame], jobs: Sequence[RankedJob]
) -> list[str]:
    """Return tables of the first frames and jobs."""
    frames = [
        (
            link(f"frame {one.frame}", media.frame_url(media.frame(one.frame))),
            escape_markdown(media.frame(one.frame).name, 60),
            f"{one.corrections:g}",
            ", ".join(one.reasons),
        )
        for one in ranked[:MAX_RANKED]
    ]
    rows = [
        (f"job {one.job_id}", f"{one.frames:,}", f"{one.corrections:g}", f"{one.mean:.2f}")
        for one in jobs[:MAX_RANKED]
    ]
    return [
        table(["frame", "file", "corrections", "why"], frames),
        table(["job", "frames", "corrections", "for each frame"], rows),
    ]


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
