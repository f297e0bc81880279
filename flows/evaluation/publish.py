"""Write the report of an evaluation: files to the storage, a page to Prefect."""

from __future__ import annotations

from PIL.Image import Image

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.links import artifact_url
from cvat_flows.flows.run.report import results_folder
from cvat_flows.tasks.engine.current import current_engine, run_logger, warn_on_error
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown, artifact_key
from cvat_flows.tasks.reports.evaluation.files import (
    evaluation_json,
    frames_csv,
    labels_csv,
    mistakes_csv,
    thresholds_file,
)
from cvat_flows.tasks.reports.evaluation.gallery import GalleryPicture, draw_gallery
from cvat_flows.tasks.reports.evaluation.markdown import evaluation_markdown
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport

PAGE = "evaluation.md"


def files_of(report: EvaluationReport) -> dict[str, bytes]:
    """Return the files of an evaluation by name."""
    return {
        "evaluation.json": evaluation_json(report),
        "labels.csv": labels_csv(report),
        "frames.csv": frames_csv(report),
        "mistakes.csv": mistakes_csv(report),
        "thresholds.yaml": thresholds_file(report),
    }


def page_of(report: EvaluationReport) -> bytes:
    """Return the page of an evaluation, in markdown."""
    return evaluation_markdown(report).encode("utf-8", "replace")


def publish(context: RunContext, report: EvaluationReport) -> None:
    """Write the files and the page. What cannot be written is only a warning in the log."""
    folder = results_folder(context.media)
    with warn_on_error("the files of the evaluation"):
        for name, content in files_of(report).items():
            context.storage.write(f"{folder}/{name}", content, durable=False)
            report.files.append((name.rpartition(".")[0], f"{folder}/{name}"))
    gallery: list[GalleryPicture] = []
    if current_engine().is_recorded:
        with warn_on_error("the pictures of frames to correct"):
            gallery = _gallery(context, report)
    with warn_on_error("the report of the evaluation"):
        context.storage.write(f"{folder}/{PAGE}", page_of(report), durable=False)
        if current_engine().is_recorded:
            found = add_markdown(
                evaluation_markdown(report, gallery),
                key=artifact_key(report.media, "evaluation"),
                description=escape_markdown(report.sentence, 300),
            )
            address = artifact_url(found) if found else None
            if address:
                run_logger().info("evaluation: %s", address)
        report.files.append(("report", f"{folder}/{PAGE}"))


def _gallery(context: RunContext, report: EvaluationReport) -> list[GalleryPicture]:
    with FrameSource(context.client, context.media) as source:

        def fetch(number: int) -> Image | None:
            return source.fetch_image(context.media.frame(number)).image

        return draw_gallery(report.evaluation.comparison, report.ranked, dict(report.labels), fetch)
