"""`cvat-flows review`: show what became of uploaded annotations: kept, moved, relabelled, deleted,
and what people added. Nothing is written to CVAT.
"""

from __future__ import annotations

import argparse

from cvat_flows.flows.commands.arguments.model_options import (
    add_model_arguments,
    build,
    model_values,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    function_values,
    has_function,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.evaluation_output import show_figures
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import Figures
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.commands.runs.evaluating import add_report_arguments, run_and_report
from cvat_flows.flows.commands.runs.history import show_history
from cvat_flows.flows.evaluation.publish import files_of_review
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.flows.in_process import review_here
from cvat_flows.tasks.reports.evaluation.review_report import HEADINGS, ReviewReport

_SPARE = ("mean IoU", "recall", "attributes", "added", "unclear", "relabelled", "moved")
"""Columns that are left out on a narrow terminal, in this order."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task_id",
        metavar="TASK_ID",
        nargs="?",
        help="id of the CVAT task (default: all tasks with uploads and finished jobs)",
    )
    add_function_arguments(parser, required=False)
    add_model_arguments(parser, ReviewTaskParameters)
    parser.add_argument(
        "--days",
        type=int,
        metavar="N",
        help="without TASK_ID: review what was uploaded in the last N days, and do not keep the "
        "figures; with --history: show what was measured in them (default: 90)",
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="measure nothing: show the figures that earlier reviews and evaluations kept, with "
        "TASK_ID those of the evaluations on this task",
    )
    add_report_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.history:
        return show_history(arguments)
    return run_and_report(
        arguments,
        _parameters(arguments),
        review_here,
        show=_show,
        files=files_of_review,
        page="review.md",
    )


def _parameters(
    arguments: argparse.Namespace,
) -> ReviewTaskParameters | ReviewFinishedTasksParameters:
    values = model_values(arguments, ReviewTaskParameters)
    if has_function(arguments):
        values |= function_values(arguments)
    elif arguments.function_parameters:
        raise UsageError("--function-parameter: needs --function")
    if arguments.task_id is not None:
        if arguments.days is not None:
            raise UsageError("--days: only without TASK_ID; a review of one task has no limit")
        return build(ReviewTaskParameters, {"task_id": arguments.task_id, **values})
    if has_function(arguments):
        raise UsageError("--function: only with TASK_ID")
    others = sorted(set(values) - {"server"})
    if others:
        raise UsageError(f"--{others[0].replace('_', '-')}: only with TASK_ID")
    if arguments.days is not None:
        values |= {"days": arguments.days, "keep_figures": False}  # only a look
    return build(ReviewFinishedTasksParameters, values)


def _show(report: ReviewReport, output: Output) -> None:
    output.row(
        {
            "title": report.title,
            "result": report.sentence,
            "notes": list(report.notes),
            "late_frames": report.late,
            "rows": [dict(zip(HEADINGS, row, strict=True)) for row in report.table()],
        }
    )
    figures = Figures(headings=HEADINGS, rows=report.table())
    show_figures(figures, output, spare=_SPARE, title=report.title)
    output.show(line(report.sentence))
    if report.remark:
        output.say(report.remark)
    for note in report.notes:
        output.say(f"left out: {note}")


COMMAND = Command(
    name="review",
    configure=configure,
    run=run,
)
