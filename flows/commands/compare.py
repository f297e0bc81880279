"""`cvat-flows compare`: compare two functions, or two versions of one, on the same frames. Nothing
is written to CVAT.
"""

from __future__ import annotations

import argparse

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.evaluation_output import show_figures
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import Figures
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.commands.runs.evaluating import (
    add_evaluation_arguments,
    evaluation_parameters,
    run_and_report,
)
from cvat_flows.flows.evaluation.parameters import CompareFunctionsParameters
from cvat_flows.flows.evaluation.publish import files_of_comparison
from cvat_flows.flows.in_process import compare_here
from cvat_flows.tasks.reports.evaluation.comparison import HEADINGS, ComparisonReport


def configure(parser: argparse.ArgumentParser) -> None:
    add_evaluation_arguments(parser, CompareFunctionsParameters)


def run(arguments: argparse.Namespace) -> int:
    return run_and_report(
        arguments,
        evaluation_parameters(arguments, CompareFunctionsParameters),
        compare_here,
        show=_show,
        files=files_of_comparison,
        page="comparison.md",
    )


def _show(report: ComparisonReport, output: Output) -> None:
    rows = report.rows()
    for row in rows:
        output.row(dict(zip(HEADINGS, row, strict=True)))
    figures = Figures(headings=HEADINGS, rows=rows, words=("figure", "verdict"))
    show_figures(figures, output, spare=("one", "other"))
    output.show(line(report.sentence))


COMMAND = Command(
    name="compare",
    configure=configure,
    run=run,
)
