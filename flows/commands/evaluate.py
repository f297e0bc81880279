"""`cvat-flows evaluate`: compare a function's detections with people's annotations. Nothing is
written to CVAT.
"""

from __future__ import annotations

import argparse

from rich.table import Table

from cvat_flows.flows.commands.annotate import say_if_not_recorded
from cvat_flows.flows.commands.arguments.model_options import (
    add_model_arguments,
    build,
    model_values,
)
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    add_task_id_argument,
    function_values,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.printing.evaluation_output import (
    add_output_argument,
    show_ranked,
    write_output,
)
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.run_output import progress_for
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.evaluation.publish import PAGE, files_of, page_of
from cvat_flows.flows.in_process import evaluate_here
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.report import HEADINGS, EvaluationReport


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    add_function_arguments(parser)
    add_model_arguments(parser, EvaluateTaskParameters)
    add_output_argument(parser)
    add_output_arguments(parser)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(
        EvaluateTaskParameters,
        {
            "task_id": arguments.task_id,
            **function_values(arguments),
            **model_values(arguments, EvaluateTaskParameters),
        },
    )
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    report = evaluate_here(parameters, LiveInputs(progress=progress_for(output)))
    _show(report, output)
    if arguments.output is not None:
        write_output(arguments.output, {PAGE: page_of(report), **files_of(report)})
        output.say(f"report       {(arguments.output / PAGE).absolute()}")
    say_if_not_recorded(output)
    return FAILED if report.predictions.failed else DONE


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
