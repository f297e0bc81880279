"""`cvat-flows undo`: delete annotations that this project uploaded to a CVAT task and nobody
has changed.
"""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attrs import asdict

from aa_functions.installed import short_name
from cvat_flows.flows.commands.arguments.confirm import add_yes_argument, confirm
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import add_task_id_argument, parse_task_id
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.tables import light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import open_storage
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.undo import undo
from cvat_flows.tasks.upload.undo_job import UndoneJob


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    parser.add_argument(
        "--run",
        metavar="ID",
        dest="run_id",
        help="delete only annotations of this run (default: all)",
    )
    parser.add_argument(
        "--function", metavar="NAME", help="delete only annotations of this function"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be deleted")
    add_yes_argument(parser)
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_output_arguments(parser, of="job")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = parse_task_id(arguments)
    use_server_arguments(arguments)
    output = Output.of(arguments)
    delete = _undo_of(arguments, task_id)
    if not arguments.dry_run and not arguments.yes:
        planned = delete(dry_run=True)
        _show(planned, output, dry_run=True)
        count = counted(sum(job.deleted for job in planned), "annotation")
        if not confirm(f"delete {count} of task {task_id} in CVAT?", yes=False):
            output.say("nothing was deleted")
            return FAILED
    undone = delete(dry_run=arguments.dry_run)
    _show(undone, output, dry_run=arguments.dry_run)
    for job in undone:
        output.row({**asdict(job), "function": short_name(job.function)})
    return FAILED if any(job.undeletable for job in undone) else DONE


def _undo_of(arguments: argparse.Namespace, task_id: int) -> Callable[..., list[UndoneJob]]:
    """Return a function that undoes what the options select: `delete(dry_run=True)`."""
    client, storage = connect(find_settings(arguments.server)), open_storage()
    stamp = RunStamp(
        id=str(uuid.uuid4()),
        name=f"undo {task_id}",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )

    def delete(*, dry_run: bool) -> list[UndoneJob]:
        return undo(
            client,
            task_id,
            storage=storage,
            stamp=stamp,
            run=arguments.run_id,
            function=arguments.function,
            options=UploadOptions(dry_run=dry_run),
        )

    return delete


def _show(undone: Sequence[UndoneJob], output: Output, *, dry_run: bool) -> None:
    numbers = ("job", "frames", "would be deleted" if dry_run else "deleted", "left")
    table = light_table("function", *numbers, numbers=numbers)
    for job in undone:
        cells = (str(number) for number in (job.job_id, job.frames, job.deleted, job.left))
        table.add_row(line(short_name(job.function)), *cells)
    output.show(table)
    for job in undone:
        for problem in job.undeletable:
            output.say(problem)
    if any(job.left for job in undone):
        output.say("left: annotations that people have changed or deleted")


COMMAND = Command(
    name="undo",
    configure=configure,
    run=run,
)
