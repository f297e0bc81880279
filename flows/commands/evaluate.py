"""`cvat-flows evaluate`: compare a function's detections with people's annotations. Nothing is
written to CVAT.
"""

from __future__ import annotations

import argparse

from attrs import asdict

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.evaluation_output import show_figures, show_ranked
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import Figures, facts_table
from cvat_flows.flows.commands.runs.evaluating import (
    add_evaluation_arguments,
    evaluation_parameters,
    run_and_report,
)
from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.evaluation.publish import PAGE, files_of
from cvat_flows.flows.in_process import evaluate_here
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.report import HEADINGS, EvaluationReport
from cvat_flows.tasks.reports.evaluation.server_quality import quality_sentence, quality_url


def configure(parser: argparse.ArgumentParser) -> None:
    add_evaluation_arguments(parser, EvaluateTaskParameters)


def run(arguments: argparse.Namespace) -> int:
    return run_and_report(
        arguments,
        evaluation_parameters(arguments, EvaluateTaskParameters),
        evaluate_here,
        show=_show,
        files=files_of,
        page=PAGE,
    )


def _show(report: EvaluationReport, output: Output) -> None:
    quality, address = report.server_quality, quality_url(report.media)
    output.row(
        {
            "task": report.media.task_id,
            "function": report.function,
            "result": report.sentence,
            "notes": list(report.notes()),
            "rows": [dict(zip(HEADINGS, row, strict=True)) for row in report.rows()],
            "likely_mistakes": len(report.mistakes),
            "cvat_quality_report": quality and {**asdict(quality), "url": address},
        }
    )
    facts = [
        ("task", str(report.media).removeprefix("task ")),
        ("function", f"{report.function} · {(report.fingerprint or '-')[:12]}"),
        ("truth", report.truth.source),
        ("result", report.sentence),
        *([("CVAT's report", f"{quality_sentence(quality)}: {address}")] if quality else []),
        *(("note", note) for note in report.notes()),
    ]
    output.show(facts_table(facts))
    show_figures(
        Figures(headings=HEADINGS, rows=report.rows()),
        output,
        short=Figures(headings=HEADINGS, rows=report.rows(intervals=False)),
        spare=("AP50-95", "true", "detected"),
    )
    show_ranked(report.media, report.ranked, output)
    if report.mistakes:
        output.say(
            f"{counted(len(report.mistakes), 'likely mistake')} of people: confident detections "
            "that contradict them (mistakes.csv)"
        )


COMMAND = Command(
    name="evaluate",
    configure=configure,
    run=run,
)
