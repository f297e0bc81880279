"""`cvat-flows rank`: list the frames that a person should correct first, as detections tell.
Nothing is written to CVAT.
"""

from __future__ import annotations

import argparse

from attrs import asdict

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.evaluation_output import show_ranked
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.runs.evaluating import (
    add_evaluation_arguments,
    evaluation_parameters,
    run_and_report,
)
from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.evaluation.publish import files_of_ranking
from cvat_flows.flows.in_process import rank_here
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.ranking import RankingReport


def configure(parser: argparse.ArgumentParser) -> None:
    add_evaluation_arguments(parser, RankFramesParameters)


def run(arguments: argparse.Namespace) -> int:
    return run_and_report(
        arguments,
        evaluation_parameters(arguments, RankFramesParameters),
        rank_here,
        show=_show,
        files=files_of_ranking,
        page="ranking.md",
    )


def _show(report: RankingReport, output: Output) -> None:
    failed = report.predictions.failed
    show_ranked(report.media, report.ranked, output)
    for one in report.ranked:
        output.row({"name": report.media.frame(one.frame).name, **asdict(one)})
    output.say(f"result       {report.sentence}")
    if failed:
        number, error = next(iter(failed.items()))
        frames = counted(len(failed), "frame")
        output.say(f"failed       {frames}; the first is {number}: {error}")
    output.row({"result": report.sentence, "failed": len(failed)})


COMMAND = Command(
    name="rank",
    configure=configure,
    run=run,
)
