"""`cvat-flows evaluate`: compare a function's detections with people's annotations. Nothing is
written to CVAT.
"""

from __future__ import annotations

import argparse

from rich.table import Table

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.evaluation_output import show_ranked
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.terminal import line
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
    output.row(
        {
            "task": report.media.task_id,
            "function": report.function,
            "result": report.sentence,
            "notes": list(report.notes()),
            "rows": [dict(zip(HEADINGS, row, strict=True)) for row in report.rows()],
            "likely_mistakes": len(report.mistakes),
        }
    )
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("task", line(str(report.media).removeprefix("task ")))
    facts.add_row("function", line(f"{report.function} · {(report.fingerprint or '-')[:12]}"))
    facts.add_row("truth", line(report.truth.source))
    facts.add_row("result", line(report.sentence))
    for note in report.notes():
        facts.add_row("note", line(note))
    figures = Table(*HEADINGS)
    for row in report.rows():
        figures.add_row(*map(line, row), style="bold" if row[0] == "all" else None)
    output.show(facts, figures)
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
