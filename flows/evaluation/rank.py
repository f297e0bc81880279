"""Rank the frames of a CVAT task by the doubts that detections raise, without a truth.

Nothing but issues is written to CVAT, and only if they are asked for. The function runs only on
frames that it has not seen.
"""

from __future__ import annotations

import numpy as np
from attrs import evolve

from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.evaluation.predict import predict
from cvat_flows.flows.evaluation.publish import publish_ranking
from cvat_flows.flows.run.context import RunContext, open_context
from cvat_flows.flows.run.live import LiveInputs, live_inputs
from cvat_flows.flows.run.naming import name_flow_run
from cvat_flows.tasks.check.remap import check_thresholds
from cvat_flows.tasks.cvat.task import fetch_job_states
from cvat_flows.tasks.evaluate.compare.objects import Ints
from cvat_flows.tasks.evaluate.corrections import rank_jobs
from cvat_flows.tasks.evaluate.disputes import count_disputes
from cvat_flows.tasks.evaluate.doubts import rank_by_doubt
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.evaluate.predictions import Predictions
from cvat_flows.tasks.evaluate.queue.issues import make_issues
from cvat_flows.tasks.evaluate.queue.order import order_jobs
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.labels import labels_of_spec
from cvat_flows.tasks.reports.evaluation.ranking import RankingReport


def rank(parameters: RankFramesParameters) -> RankingReport:
    """Rank the frames of a task, and publish the ranking.

    Raises CvatFlowsError, with a sentence, if the function works on no frame.
    """
    live = live_inputs()
    context = open_context(parameters.for_detection(), live)
    name_flow_run(context.parameters, context.media, context.live, verb="rank frames of")
    check_thresholds(
        parameters.label_thresholds or {}, labels_of_spec(context.function.function.spec)
    )
    predictions = predict(context)
    if not predictions.frames:
        raise NoTruth(
            f"task {parameters.task_id}: the function worked on no frame; the first error: "
            f"{next(iter(predictions.failed.values()), 'none, because no frame is selected')}"
        )
    frames = np.array(sorted(predictions.frames), np.int64)
    limits = predictions.limits(parameters.thresholds(), parameters.conf_threshold or 0.0)
    ranked = rank_by_doubt(
        predictions.objects,
        predictions.objects.score >= limits,
        limits,
        frames,
        _disputed(context, parameters, predictions, frames, live),
    )
    jobs = {n: context.media.job_ids_of(n)[0] for n in frames.tolist()}
    states = fetch_job_states(context.client, context.media.task_id)
    report = RankingReport(
        media=context.media,
        function=context.function.title,
        predictions=predictions,
        ranked=ranked,
        jobs=order_jobs(rank_jobs(ranked, jobs), jobs, states),
    )
    if parameters.issues is not None:
        report = _with_issues(context, report, parameters.issues)
    publish_ranking(context, report)
    return report


def _with_issues(context: RunContext, report: RankingReport, count: int) -> RankingReport:
    """Create issues on the first frames. An error is shown with the ranking, which is complete."""
    frames = report.ranked[:count]
    try:
        made = make_issues(context.client, context.media, frames, function=report.function)
    except CvatFlowsError as error:
        return evolve(report, issues_error=str(error))
    return evolve(report, issues=made)


def _disputed(
    context: RunContext,
    parameters: RankFramesParameters,
    predictions: Predictions,
    frames: Ints,
    live: LiveInputs,
) -> Ints | None:
    """Detect with the other function, if there is one, and count the differences."""
    other = parameters.for_other()
    if other is None:
        return None
    others = predict(open_context(other, live))
    common = frames[np.isin(frames, sorted(others.frames))]
    counts = count_disputes(
        predictions.objects.select(
            predictions.above(parameters.thresholds()) & np.isin(predictions.objects.frame, common)
        ),
        others.objects.select(
            (others.objects.score >= (parameters.conf_threshold or 0.0))
            & np.isin(others.objects.frame, common)
        ),
        common,
        {number: context.media.size_of(number) for number in common.tolist()},
    )
    disputed = np.zeros(len(frames), np.int64)
    disputed[np.isin(frames, common)] = counts
    return disputed
