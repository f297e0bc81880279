"""`cvat-flows manifest`: what this project knows to have put into a CVAT task."""

from __future__ import annotations

import argparse
import json
from collections import Counter

from attrs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvat_flows.flows.commands.command import (
    Command,
    add_server_arguments,
    task_id_of,
    use_server_arguments,
)
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.storage import open_storage
from cvat_flows.tasks.upload.manifest import Manifest, functions_of_task
from cvat_flows.tasks.upload.manifest_file import FrameRecord, RunStamp


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task_id", metavar="TASK_ID", help="id of the CVAT task")
    parser.add_argument("--frames", action="store_true", help="a row for each frame")
    parser.add_argument(
        "--json", action="store_true", help="print the whole content as JSON, a line a frame"
    )
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = task_id_of(arguments)
    use_server_arguments(arguments)
    server = find_settings(arguments.server).host.rstrip("/")
    storage = open_storage()
    names = functions_of_task(storage, server=server, task_id=task_id)
    if not names:
        print(f"task {task_id} on {server}: no manifest; nothing was uploaded to it from here")
    for name in names:
        manifest = Manifest(
            storage, server=server, task_id=task_id, function=name, run=RunStamp(id="")
        )
        rows = list(manifest.records())
        if arguments.json:
            for job_id, frame, record in rows:
                print(
                    json.dumps({"function": name, "job": job_id, "frame": frame, **asdict(record)})
                )
        elif arguments.frames:
            Console().print(_frames(name, rows))
        else:
            Console().print(_runs(name, rows))
    return 0


Row = tuple[int, int, FrameRecord]


def _runs(function: str, rows: list[Row]) -> Table:
    """A row for each run: frames that it was the last to write, annotations that it put there."""
    table = Table(title=Text(function))
    table.add_column("run", no_wrap=True)
    for heading in ("when", "fingerprint", "last to write", "annotations"):
        table.add_column(heading)
    last: dict[str, list[FrameRecord]] = {}
    put: Counter[str] = Counter()
    for _, _, record in rows:
        last.setdefault(record.run.id, []).append(record)
        put.update(item.run for item in record.items if item.run)
    for run_id in sorted(
        {*last, *put}, key=lambda i: max((r.when for r in last.get(i, [])), default="")
    ):
        records = last.get(run_id, [])
        states = Counter(record.state for record in records)
        table.add_row(
            run_id,
            max((record.when for record in records), default=""),
            records[0].run.fingerprint[:12] if records else "",
            ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "-",
            str(put[run_id]),
        )
    return table


def _frames(function: str, rows: list[Row]) -> Table:
    table = Table("frame", "job", "state", "annotations", "when", "run", title=Text(function))
    for job_id, frame, record in sorted(rows, key=lambda row: (row[1], row[0])):
        table.add_row(
            str(frame),
            str(job_id),
            Text(f"{record.state}: {record.error}" if record.error else record.state),
            str(len(record.items)),
            record.when,
            record.run.id[:8],
        )
    return table


COMMAND = Command(
    name="manifest",
    help="Show what was put into a CVAT task from here: by run, or frame by frame.",
    configure=configure,
    run=run,
)
