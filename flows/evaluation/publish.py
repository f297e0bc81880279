"""Write the report of an evaluation: files to the storage, a page to Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from PIL.Image import Image

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.reporting.links import artifact_url
from cvat_flows.flows.run.reporting.report import results_folder
from cvat_flows.tasks.detect.pruning import RESULTS
from cvat_flows.tasks.engine.current import current_engine, run_logger, warn_on_error
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown, artifact_key
from cvat_flows.tasks.reports.evaluation.comparison import (
    ComparisonReport,
    comparison_csv,
    comparison_markdown,
)
from cvat_flows.tasks.reports.evaluation.files import (
    evaluation_json,
    labels_csv,
    mistakes_csv,
    thresholds_file,
)
from cvat_flows.tasks.reports.evaluation.gallery import GalleryPicture, draw_gallery
from cvat_flows.tasks.reports.evaluation.markdown import evaluation_markdown
from cvat_flows.tasks.reports.evaluation.ranking import (
    RankingReport,
    jobs_csv,
    ranking_csv,
    ranking_markdown,
)
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
from cvat_flows.tasks.reports.evaluation.review_report import (
    ReviewReport,
    review_csv,
    review_markdown,
    review_parquet,
)
from cvat_flows.tasks.storage import Storage

PAGE = "evaluation.md"


def files_of(report: EvaluationReport) -> dict[str, bytes]:
    """Return the files of an evaluation by name."""
    return {
        "evaluation.json": evaluation_json(report),
        "labels.csv": labels_csv(report),
        "frames.csv": ranking_csv(report.media, report.ranked),
        "mistakes.csv": mistakes_csv(report),
        "thresholds.yaml": thresholds_file(report),
        PAGE: evaluation_markdown(report).encode("utf-8", "replace"),
    }


def files_of_ranking(report: RankingReport) -> dict[str, bytes]:
    """Return the files of a ranking without a truth by name."""
    return {
        "frames.csv": ranking_csv(report.media, report.ranked),
        "jobs.csv": jobs_csv(report),
        "ranking.md": ranking_markdown(report).encode("utf-8", "replace"),
    }


def publish(context: RunContext, report: EvaluationReport) -> None:
    """Write the files and the page. What cannot be written is only a warning in the log."""
    write_files(context, files_of(report), report.files)
    if not current_engine().is_recorded:
        return
    gallery: list[GalleryPicture] = []
    with warn_on_error("the pictures of frames to correct"):
        gallery = _gallery(context, report)
    key = artifact_key(context.media, "evaluation")
    add_page(key, evaluation_markdown(report, gallery), report.sentence)


def publish_ranking(context: RunContext, report: RankingReport) -> None:
    """The same for a ranking without a truth."""
    write_files(context, files_of_ranking(report), report.files)
    key = artifact_key(context.media, "ranking")
    add_page(key, ranking_markdown(report), report.sentence)


def files_of_review(report: ReviewReport) -> dict[str, bytes]:
    """Return the files of a review by name."""
    return {
        "review.csv": review_csv(report),
        "review.parquet": review_parquet(report),
        "review.md": review_markdown(report).encode("utf-8", "replace"),
    }


def publish_review(
    storage: Storage, report: ReviewReport, *, media: TaskMedia | None = None
) -> None:
    """The same for a review of one task, or of all tasks."""
    folder = f"{RESULTS}/reviews/{_stamp()}" if media is None else results_folder(media)
    _write(storage, folder, files_of_review(report), report.files)
    key = "review-finished-tasks" if media is None else artifact_key(media, "review")
    add_page(key, review_markdown(report), report.sentence)


def files_of_comparison(report: ComparisonReport) -> dict[str, bytes]:
    """Return the files of a comparison of two functions by name."""
    return {
        "comparison.csv": comparison_csv(report),
        "comparison.md": comparison_markdown(report).encode("utf-8", "replace"),
    }


def publish_comparison(storage: Storage, report: ComparisonReport) -> None:
    """The same for a comparison of two functions."""
    media = report.one.media
    _write(storage, results_folder(media), files_of_comparison(report), report.files)
    key = artifact_key(media, "comparison")
    add_page(key, comparison_markdown(report), report.sentence)


def write_files(
    context: RunContext, files: Mapping[str, bytes], written: list[tuple[str, str]]
) -> None:
    """Write files to the storage, and add their titles and paths to `written`."""
    _write(context.storage, results_folder(context.media), files, written)


def _write(
    storage: Storage, folder: str, files: Mapping[str, bytes], written: list[tuple[str, str]]
) -> None:
    with warn_on_error("the files of the report"):
        for name, content in files.items():
            storage.write(f"{folder}/{name}", content, durable=False)
            written.append((name, f"{folder}/{name}"))


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{current_engine().run_id[:8]}"


def add_page(key: str, page: str, sentence: str) -> None:
    """Add a page to the run in Prefect, if a server records it."""
    found = add_markdown(page, key=key, description=escape_markdown(sentence, 300))
    address = artifact_url(found) if found else None
    if address:
        run_logger().info("report: %s", address)


def _gallery(context: RunContext, report: EvaluationReport) -> list[GalleryPicture]:
    with FrameSource(context.client, context.media) as source:

        def fetch(number: int) -> Image | None:
            return source.fetch_image(context.media.frame(number)).image

        return draw_gallery(report.evaluation.comparison, report.ranked, dict(report.labels), fetch)
