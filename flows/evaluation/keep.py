"""Keep the figures of reviews and evaluations, for their history and for the gates of rules."""

from __future__ import annotations

from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.tasks.engine.current import warn_on_error
from cvat_flows.tasks.evaluate.acceptance.review import OPTIONS_DIGITS
from cvat_flows.tasks.evaluate.evaluation import DEFAULT_LIKENESS
from cvat_flows.tasks.evaluate.quality.measure import measure_evaluation, measure_review
from cvat_flows.tasks.evaluate.quality.measurement import Version
from cvat_flows.tasks.evaluate.quality.store import keep_evaluation, keep_review
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
from cvat_flows.tasks.reports.evaluation.review_report import ReviewReport
from cvat_flows.tasks.storage import Storage


def keep_figures_of_evaluation(
    context: RunContext, parameters: EvaluateTaskParameters, report: EvaluationReport
) -> None:
    """Keep an evaluation of a known version, unless it is only of some frames or with another IoU.

    What cannot be written is only a warning in the log.
    """
    fingerprint = context.function.fingerprint
    is_partial = parameters.frames is not None or parameters.iou != DEFAULT_LIKENESS
    if fingerprint is None or is_partial:
        return
    options = parameters.for_annotation().result_digest()[:OPTIONS_DIGITS]
    with warn_on_error("the figures for the history"):
        keep_evaluation(
            context.storage,
            measure_evaluation(
                report.evaluation,
                version=Version(fingerprint=fingerprint, options=options),
                function=context.function.name,
                about=f"task {context.media.task_id}",
                task=context.media.identity.folder,
                truth=(one.annotation for one in report.truth.objects),
                names=report.labels,
            ),
        )


def keep_figures_of_review(storage: Storage, host: str, report: ReviewReport, *, days: int) -> None:
    """The same for a review of all tasks of a server."""
    with warn_on_error("the figures for the history"):
        about = f"uploads of the last {days} days"
        keep_review(storage, host, measure_review(report.rows, about=about))
