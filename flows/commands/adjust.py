"""`cvat-flows adjust`: apply other thresholds to a task that is annotated already, from cached
detections: add and remove only what this project uploaded and nobody has changed.
"""

from __future__ import annotations

import argparse

from aa_functions.reference import load_function
from cvat_flows.flows.commands.arguments.model_options import build
from cvat_flows.flows.commands.arguments.server_options import use_server_arguments
from cvat_flows.flows.commands.arguments.task_arguments import add_task_arguments, task_values
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.run_output import (
    progress_for,
    say_if_not_recorded,
    show_run,
)
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.cvat.task import fetch_identity
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import open_storage

_NOT_OPTIONS = {
    "clear_existing",
    "dry_run",
    "existing",
    "frames",
    "fresh",
    "only_unannotated",
    "renew",
    "split",
    "split_runs",
    "use_cache",
}


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_arguments(parser, exclude=_NOT_OPTIONS)
    parser.add_argument(
        "--apply",
        action="store_true",
        help="write to CVAT; without it, only show what would be added and removed",
    )


def run(arguments: argparse.Namespace) -> int:
    values = task_values(arguments, exclude=_NOT_OPTIONS)
    if not values.get("label_thresholds"):
        raise UsageError(
            "--label-thresholds: is missing; name the thresholds to apply, for example "
            "'{car: 0.4}' or the thresholds.yaml of cvat-flows evaluate"
        )
    options = {"existing": "replace", "dry_run": not arguments.apply}
    parameters = build(AnnotateTaskParameters, {**values, **options})
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    client = connect(find_settings(parameters.server))
    function = load_function(parameters.reference)
    storage, task = open_storage(), fetch_identity(client, parameters.task_id)
    manifest = Manifest(storage, task=task, function=function.name, run=RunStamp(id=""))
    frames = {n for _, n, record in manifest.records() if record.state == "annotated"}
    if not frames:
        known = ", ".join(functions_of_task(storage, task)) or "nothing"
        raise NoTruth(
            f"task {task.task_id}: the function {function.name!r} has annotated no frame of it, so "
            f"there is nothing to adjust; on record: {known}. " + describe_namesakes(storage, task)
        )
    finished = run_here(
        build(
            AnnotateTaskParameters,
            {**values, **options, "frames": ",".join(map(str, sorted(frames)))},
        ),
        LiveInputs(client=client, function=function, progress=progress_for(output)),
    )
    show_run(output, finished.report_or_raise(), finished.url)
    if not arguments.apply:
        output.say("dry run: add --apply to write this to CVAT")
    say_if_not_recorded(output)
    return FAILED if finished.error else DONE


COMMAND = Command(
    name="adjust",
    configure=configure,
    run=run,
)
