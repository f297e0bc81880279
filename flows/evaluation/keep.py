"""Keep the figures of reviews and evaluations, for their history and for the gates of rules."""

from __future__ import annotations

from attrs import evolve

from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.tasks.engine.current import warn_on_error
from cvat_flows.tasks.evaluate.evaluation import DEFAULT_LIKENESS
from cvat_flows.tasks.evaluate.quality.measure import measure_evaluation, measure_review
from cvat_flows.tasks.evaluate.quality.measurement import Version
from cvat_flows.tasks.evaluate.quality.store import (
    HISTORY_TABLE,
    keep_evaluation,
    keep_review,
    read_history,
)
from cvat_flows.tasks.record.manifest_file import OPTIONS_DIGITS
from cvat_flows.tasks.reports.evaluation.history import HistoryReport, history_parquet
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
from cvat_flows.tasks.reports.evaluation.review_report import ReviewReport
from cvat_flows.tasks.storage import Storage


def keep_figures_of_evaluation(
    context: RunContext, parameters: EvaluateTaskParameters, report: EvaluationReport
) -> EvaluationReport:
    """Keep an evaluation of a known version, unless it is only of some frames or with another IoU.

    What cannot be written is only a warning in the log.

    Returns:
        The report, with what was kept of this function on this task.
    """
    fingerprint = context.function.fingerprint
    is_partial = parameters.frames is not None or parameters.iou != DEFAULT_LIKENESS
    if fingerprint is None or is_partial:
        return report
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
        known = read_history(context.storage, task_id=context.media.task_id)
        own = [one for one in known if one.task == context.media.identity.folder]
        own = [one for one in own if one.function == context.function.name]
        return evolve(report, history=own)
    return report


def keep_figures_of_review(
    storage: Storage, host: str, report: ReviewReport, *, days: int
) -> ReviewReport:
    """The same for a review of all tasks of a server. Also writes the table for dashboards.

    Returns:
        The report, with what was kept of reviews of this server.
    """
    with warn_on_error("the figures for the history"):
        about = f"{host.partition('://')[2]}, uploads of the last {days} days"
        keep_review(storage, host, measure_review(report.rows, about=about))
        known = read_history(storage)
        table = history_parquet(HistoryReport(title="", measurements=known))
        storage.write(HISTORY_TABLE, table, durable=False)
        own = [one for one in known if one.about == about]
        return evolve(report, history=own)
    return report
