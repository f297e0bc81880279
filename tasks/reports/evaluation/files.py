"""The files of an evaluation: JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict

from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.figures import Figures
from cvat_flows.tasks.evaluate.thresholds import thresholds_yaml
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
from cvat_flows.tasks.reports.evaluation.server_quality import quality_url


def evaluation_json(report: EvaluationReport) -> bytes:
    """Return all figures as JSON. Undefined ones are null."""
    evaluation = report.evaluation
    content = {
        "task": report.media.task_id,
        "url": report.media.task_url,
        "function": report.function,
        "fingerprint": report.fingerprint,
        "parameters": report.parameters,
        "truth": report.truth.source,
        "frames": report.frame_count,
        "failed_frames": sorted(report.predictions.failed),
        "notes": report.notes(),
        "iou": report.iou,
        "overall": _figures(evaluation.overall),
        "labels": {name: _figures(one) for name, one in report.labelled()},
        "sizes": {name: _counts(one) for name, one in evaluation.by_size.items()},
        "confusion": [
            {
                "true": None if true is None else report.name(true),
                "detected": None if found is None else report.name(found),
                "count": count,
            }
            for (true, found), count in evaluation.confusion.items()
        ],
        "mean_iou": evaluation.mean_likeness,
        "thresholds": {
            name: {
                "threshold": one.threshold,
                "precision": one.precision,
                "recall": one.recall,
                "reason": one.reason,
            }
            for name, one in report.suggestions.items()
        },
        "cvat_quality_report": None
        if report.server_quality is None
        else {**asdict(report.server_quality), "url": quality_url(report.media)},
        "frames_to_correct": len(report.ranked),
        "likely_mistakes_of_people": len(report.mistakes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def labels_csv(report: EvaluationReport) -> bytes:
    """Return the figures by label. Undefined ones are empty."""
    heading = (
        "label", "true", "detected", "right", "extra", "missed",
        "precision", "recall", "f1", "ap50", "ap50_95",
    )  # fmt: skip
    return to_csv(
        heading,
        (
            [
                name,
                one.counts.true,
                one.counts.detected,
                one.counts.right,
                one.counts.extra,
                one.counts.missed,
                one.counts.precision,
                one.counts.recall,
                one.counts.f1,
                one.ap50,
                one.ap50_95,
            ]
            for name, one in report.labelled()
        ),
    )


def mistakes_csv(report: EvaluationReport) -> bytes:
    """Return the likely mistakes of people, the likeliest first."""
    return to_csv(
        ("frame", "name", "kind", "detected", "drawn", "score",
         "left", "top", "right", "bottom", "id", "url"),
        (
            [
                one.frame,
                report.frame_name(one.frame),
                one.kind,
                report.name(one.label),
                "" if one.true_label is None else report.name(one.true_label),
                one.score,
                *one.box,
                one.id or "",
                report.frame_url(one.frame),
            ]
            for one in report.mistakes
        ),
    )  # fmt: skip


def thresholds_file(report: EvaluationReport) -> bytes:
    """Return the suggested thresholds as the YAML that `label_thresholds` reads."""
    title = f"{report.function} on {report.media}, {report.suggested_for}"
    return thresholds_yaml(report.suggestions, title=title).encode("utf-8", "replace")


def _figures(one: Figures) -> dict[str, Any]:
    return {
        **_counts(one.counts),
        "ap50": one.ap50,
        "ap50_95": one.ap50_95,
        "intervals": {name: list(interval) for name, interval in one.intervals.items()},
    }


def _counts(one: Counts) -> dict[str, Any]:
    return {
        "right": one.right,
        "extra": one.extra,
        "missed": one.missed,
        "precision": one.precision,
        "recall": one.recall,
        "f1": one.f1,
    }
