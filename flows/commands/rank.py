"""`cvat-flows rank`: list the frames that a person should correct first, as detections tell.
Nothing is written to CVAT.
"""

from __future__ import annotations

import argparse

from attrs import asdict

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
from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.evaluation.publish import files_of_ranking
from cvat_flows.flows.in_process import rank_here
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    add_function_arguments(parser)
    add_model_arguments(parser, RankFramesParameters)
    add_output_argument(parser)
    add_output_arguments(parser)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(
        RankFramesParameters,
        {
            "task_id": arguments.task_id,
            **function_values(arguments),
            **model_values(arguments, RankFramesParameters),
        },
    )
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    report = rank_here(parameters, LiveInputs(progress=progress_for(output)))
    show_ranked(report.media, report.ranked, output)
    for one in report.ranked:
        output.row({"name": report.media.frame(one.frame).name, **asdict(one)})
    output.say(f"result       {report.sentence}")
    for number, error in list(report.predictions.failed.items())[:1]:
        output.say(
            f"failed       {len(report.predictions.failed)} frames; the first is {number}: {error}"
        )
    output.row({"result": report.sentence, "failed": len(report.predictions.failed)})
    if arguments.output is not None:
        write_output(arguments.output, files_of_ranking(report))
        output.say(f"report       {(arguments.output / 'ranking.md').absolute()}")
    say_if_not_recorded(output)
    return FAILED if report.predictions.failed else DONE


COMMAND = Command(
    name="rank",
    configure=configure,
    run=run,
)
