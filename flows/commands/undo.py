"""`cvat-flows undo`: delete annotations that this project uploaded to a CVAT task and nobody
has changed.
"""

from __future__ import annotations

import argparse
import uuid
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.exit_status import DONE, FAILED
from cvat_flows.flows.commands.server_options import add_server_arguments, use_server_arguments
from cvat_flows.flows.commands.task_arguments import add_task_id_argument, parse_task_id
from cvat_flows.flows.commands.terminal import line
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import open_storage
from cvat_flows.tasks.upload.result import UploadOptions
from cvat_flows.tasks.upload.undo import undo


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
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = parse_task_id(arguments)
    use_server_arguments(arguments)
    undone = undo(
        connect(find_settings(arguments.server)),
        task_id,
        storage=open_storage(),
        stamp=RunStamp(
            id=str(uuid.uuid4()),
            name=f"undo {task_id}",
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
        run=arguments.run_id,
        function=arguments.function,
        options=UploadOptions(dry_run=arguments.dry_run),
    )
    table = Table(
        "function", "job", "frames", "would be deleted" if arguments.dry_run else "deleted", "left"
    )
    for job in undone:
        table.add_row(
            line(job.function), str(job.job_id), str(job.frames), str(job.deleted), str(job.left)
        )
    console = Console()
    console.print(table)
    problems = [problem for job in undone for problem in job.undeletable]
    for problem in problems:
        console.print(line(problem))
    if any(job.left for job in undone):
        console.print("left: annotations that people have changed or deleted")
    return FAILED if problems else DONE


COMMAND = Command(
    name="undo",
    configure=configure,
    run=run,
)
