"""Evaluate a function on one CVAT task: the steps in order. Nothing is written to CVAT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from cvat_flows.flows.evaluation.keep import keep_figures_of_evaluation
from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.evaluation.predict import predict
from cvat_flows.flows.evaluation.publish import publish
from cvat_flows.flows.run.context import RunContext, open_context
from cvat_flows.flows.run.live import live_inputs
from cvat_flows.flows.run.naming import name_flow_run
from cvat_flows.tasks.check.remap import check_thresholds
from cvat_flows.tasks.cvat.quality import fetch_quality_report
from cvat_flows.tasks.engine.current import run_logger
from cvat_flows.tasks.evaluate.check_labels import keep_known_labels, label_ids_of
from cvat_flows.tasks.evaluate.compare.objects import objects_of
from cvat_flows.tasks.evaluate.compare.pairing import pair_up
from cvat_flows.tasks.evaluate.corrections import rank_by_truth, rank_jobs
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.evaluate.evaluation import DEFAULT_LIKENESS, Comparison, compare
from cvat_flows.tasks.evaluate.evaluation import evaluate as compute
from cvat_flows.tasks.evaluate.mistakes import find_mistakes
from cvat_flows.tasks.evaluate.predictions import Predictions
from cvat_flows.tasks.evaluate.thresholds import Curve, curve_of, suggest
from cvat_flows.tasks.evaluate.truth.choose import TruthReader
from cvat_flows.tasks.evaluate.truth.file import read_truth_file
from cvat_flows.tasks.evaluate.truth.truth import Truth, without_uncompared
from cvat_flows.tasks.fetch.selection import parse_frames
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.labels import labels_of_spec
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport


def evaluate(parameters: EvaluateTaskParameters) -> EvaluationReport:
    """Compare the function's detections with what people say, and publish the report.

    Raises CvatFlowsError, with a sentence, if there is nothing to compare.
    """
    context = open_context(parameters.for_detection(), live_inputs())
    name_flow_run(context.parameters, context.media, context.live, verb="evaluate")
    check_thresholds(
        parameters.label_thresholds or {}, labels_of_spec(context.function.function.spec)
    )
    truth = _selected(_read_truth(context, parameters), context, parameters)
    context = evolve(context, parameters=parameters.for_detection(sorted(truth.frames)))
    predictions = predict(context)
    report = _report(context, parameters, truth, predictions)
    report = keep_figures_of_evaluation(context, parameters, report)
    report = _beside_server_quality(context, report)
    publish(context, report)
    return report


def _beside_server_quality(context: RunContext, report: EvaluationReport) -> EvaluationReport:
    """Add CVAT's own quality report, if it can be read. What cannot is a warning in the log."""
    try:
        found = fetch_quality_report(context.client, context.media.task_id)
    except CvatFlowsError as error:
        run_logger().warning("CVAT's quality report is not shown: %s", error)
        return report
    return evolve(report, server_quality=found)


def _read_truth(context: RunContext, parameters: EvaluateTaskParameters) -> Truth:
    if parameters.truth_file:
        return read_truth_file(Path(parameters.truth_file), context.media, context.labels)
    reader = TruthReader(
        client=context.client,
        media=context.media,
        labels=context.labels,
        storage=context.storage,
    )
    return reader.read(parameters.truth, parameters.truth_jobs)


def _selected(truth: Truth, context: RunContext, parameters: EvaluateTaskParameters) -> Truth:
    """Return the truth of the selected frames and the labels of the function."""
    media = context.media
    wanted = parse_frames(parameters.frames, size=media.size, subject=f"task {media.task_id}")
    frames = truth.frames & set(wanted)
    if not frames:
        raise NoTruth(
            f"task {media.task_id}: there is no truth on the frames {parameters.frames}: it is on "
            f"{counted(len(truth.frames), 'other frame')} ({truth.source}); change --frames"
        )
    objects, left_out = without_uncompared(
        [one for one in truth.objects if one.annotation.frame in frames]
    )
    names = {label.id: label.name for label in context.labels}
    objects, note = keep_known_labels(
        objects,
        label_ids_of(context.match),
        names,
        allow_others=parameters.allow_unmatched_labels,
    )
    if not objects:
        raise NoTruth(
            f"task {media.task_id}: the truth ({truth.source}) has no object to compare on "
            f"{counted(len(frames), 'frame')}; choose other frames or jobs"
        )
    notes = [*truth.notes, *filter(None, [note])]
    notes += [
        f"{counted(count, f'true {kind}', f'true {kind}s')} cannot be compared"
        for kind, count in left_out.items()
    ]
    return evolve(truth, frames=frames, objects=objects, notes=tuple(notes))


def _report(
    context: RunContext,
    parameters: EvaluateTaskParameters,
    truth: Truth,
    predictions: Predictions,
) -> EvaluationReport:
    """Compare on the frames on which the function worked."""
    frames = truth.frames & predictions.frames
    if not frames:
        raise NoTruth(
            f"task {context.media.task_id}: the function failed on all "
            f"{counted(len(truth.frames), 'frame')} with a truth; the first error: "
            f"{next(iter(predictions.failed.values()), 'none: no frame is in a job')}"
        )
    known = [one for one in truth.objects if one.annotation.frame in frames]
    comparison = compare(
        predictions.objects,
        objects_of([one.annotation for one in known], [one.id for one in known]),
        frames=sorted(frames),
        sizes={number: context.media.size_of(number) for number in frames},
        used=predictions.above(parameters.thresholds()),
        least=parameters.iou,
    )
    ranked = rank_by_truth(comparison)
    curves = _curves(context, comparison)
    return EvaluationReport(
        media=context.media,
        function=context.function.title,
        fingerprint=context.function.fingerprint,
        truth=truth,
        predictions=predictions,
        evaluation=compute(comparison),
        labels={label.id: label.name for label in context.labels},
        parameters=parameters.model_dump(mode="json", exclude_defaults=True),
        iou=parameters.iou,
        curves=curves,
        suggestions={
            name: suggest(curve, min_precision=parameters.min_precision)
            for name, curve in curves.items()
        },
        suggested_for="the best F1"
        if parameters.min_precision is None
        else f"a precision of at least {parameters.min_precision:g}",
        ranked=ranked,
        ranked_jobs=rank_jobs(ranked, _jobs_of(context, sorted(frames))),
        mistakes=find_mistakes(comparison),
    )


def _curves(context: RunContext, comparison: Comparison) -> dict[str, Curve]:
    """Return precision and recall over thresholds, by the function's label.

    Labels of the function that mean the same label of the task share a curve.
    """
    found, true = comparison.found, comparison.true
    pairing = pair_up(found, true, comparison.pairs, DEFAULT_LIKENESS)
    present = set(found.label.tolist())
    return {
        label.name: curve_of(found, true, pairing, label.id)
        for label in context.match.labels.values()
        if label is not None and label.id in present
    }


def _jobs_of(context: RunContext, frames: Sequence[int]) -> dict[int, int]:
    jobs = ((number, context.media.job_ids_of(number)) for number in frames)
    return {number: ids[0] for number, ids in jobs if ids}
