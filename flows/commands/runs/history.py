"""Show the figures that earlier reviews and evaluations kept: `cvat-flows review --history`."""

from __future__ import annotations

import argparse

from cvat_flows.flows.commands.arguments.model_options import build, model_values
from cvat_flows.flows.commands.arguments.server_options import given_server_options
from cvat_flows.flows.commands.arguments.task_arguments import has_function, parse_task_ids
from cvat_flows.flows.commands.base.exit_status import DONE
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.evaluation_output import show_figures, write_output
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import Figures
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.tasks.evaluate.quality.store import read_history
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.history import HistoryReport, history_files
from cvat_flows.tasks.storage import open_storage


def show_history(arguments: argparse.Namespace) -> int:
    """Print what was kept, and write it into the folder of `--output`. Return the exit status.

    Needs neither CVAT nor Prefect.
    """
    given = [
        f"--{name.replace('_', '-')}" for name in model_values(arguments, ReviewTaskParameters)
    ]
    given += ["--function"] if has_function(arguments) else []
    if not_used := [*given, *given_server_options(arguments)]:
        raise UsageError(f"{not_used[0]}: not with --history, which measures nothing")
    days = build(
        ReviewFinishedTasksParameters, {} if arguments.days is None else {"days": arguments.days}
    ).days
    task_id = None if arguments.task_id is None else parse_task_ids([arguments.task_id])[0]
    last_days = f"the last {counted(days, 'day')}"
    report = HistoryReport(
        title=f"Figures of {last_days}",
        measurements=read_history(open_storage(), days=days, task_id=task_id),
    )
    output = Output.of(arguments)
    for point in report.points():
        output.row(point)
    series = report.series()
    for one in series:
        figures = Figures(headings=one.headings(), rows=one.rows())
        output.show(line(one.title))
        show_figures(figures, output, spare=figures.headings[1:-1])
        output.say("")
    output.say(
        "precision / recall of each label, the number of detections, and the version"
        if series
        else f"nothing was measured in {last_days}: `cvat-flows review` and `cvat-flows evaluate` "
        "keep their figures"
    )
    if arguments.output is not None:
        write_output(arguments.output, history_files(report), "history.md", output)
    return DONE
