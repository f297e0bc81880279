"""`cvat-flows undo`: take back what was put into a CVAT task and nobody has changed."""

from __future__ import annotations

import argparse
import uuid
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvat_flows.flows.commands.command import (
    Command,
    add_server_arguments,
    task_id_of,
    use_server_arguments,
)
from cvat_flows.tasks.cvat.connection import connect
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.storage import open_storage
from cvat_flows.tasks.upload.manifest_file import RunStamp
from cvat_flows.tasks.upload.result import UploadOptions
from cvat_flows.tasks.upload.undo import undo


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task_id", metavar="TASK_ID", help="id of the CVAT task")
    parser.add_argument(
        "--run", metavar="ID", dest="run_id", help="only what this run put there (default: all)"
    )
    parser.add_argument("--function", metavar="NAME", help="only what this function found")
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = task_id_of(arguments)
    use_server_arguments(arguments)
    settings = find_settings(arguments.server)
    undone = undo(
        connect(settings),
        task_id,
        storage=open_storage(),
        server=settings.host.rstrip("/"),
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
            Text(job.function), str(job.job_id), str(job.frames), str(job.deleted), str(job.left)
        )
    console = Console()
    console.print(table)
    problems = [problem for job in undone for problem in job.undeletable]
    for problem in problems:
        console.print(Text(problem))
    if any(job.left for job in undone):
        console.print("left: changed or removed by people since")
    return 1 if problems else 0


COMMAND = Command(
    name="undo",
    help="Delete what was put into a CVAT task from here and nobody has changed since.",
    configure=configure,
    run=run,
)
