"""`cvat-flows manifest`: show what was uploaded to a CVAT task, by run or by frame."""

from __future__ import annotations

import argparse
import json
from collections import Counter

from attrs import asdict
from rich.console import Console
from rich.table import Table

from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.exit_status import DONE
from cvat_flows.flows.commands.server_options import add_server_arguments, use_server_arguments
from cvat_flows.flows.commands.task_arguments import add_task_id_argument, parse_task_id
from cvat_flows.flows.commands.terminal import line, say
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.cvat.task import fetch_identity
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.storage import open_storage


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    parser.add_argument("--frames", action="store_true", help="print a row for each frame")
    parser.add_argument(
        "--json", action="store_true", help="print everything as JSON, one line for each frame"
    )
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = parse_task_id(arguments)
    use_server_arguments(arguments)
    client = connect(find_settings(arguments.server))
    storage, task = open_storage(), fetch_identity(client, task_id)
    names = functions_of_task(storage, task)
    if not names:
        text = f"task {task_id} on {client.api_map.host}: no manifest, so nothing was uploaded"
        say("; ".join(filter(None, [text, describe_namesakes(storage, task)])))
    for name in names:
        manifest = Manifest(storage, task=task, function=name, run=RunStamp(id=""))
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
    return DONE


Row = tuple[int, int, FrameRecord]


def _runs(function: str, rows: list[Row]) -> Table:
    """Make a table of the runs: the frames they wrote last, the annotations they created."""
    table = Table(title=line(function))
    table.add_column("run", no_wrap=True)
    for heading in ("when", "fingerprint", "frames written last", "annotations"):
        table.add_column(heading)
    last: dict[str, list[FrameRecord]] = {}
    created: Counter[str] = Counter()
    for _, _, record in rows:
        last.setdefault(record.run.id, []).append(record)
        created.update(item.run for item in record.items if item.run)
    for run_id in sorted(
        {*last, *created}, key=lambda i: max((r.when for r in last.get(i, [])), default="")
    ):
        records = last.get(run_id, [])
        states = Counter(record.state for record in records)
        table.add_row(
            run_id,
            max((record.when for record in records), default=""),
            records[0].run.fingerprint[:12] if records else "",
            ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "-",
            str(created[run_id]),
        )
    return table


def _frames(function: str, rows: list[Row]) -> Table:
    table = Table("frame", "job", "state", "annotations", "when", "run", title=line(function))
    for job_id, frame, record in sorted(rows, key=lambda row: (row[1], row[0])):
        table.add_row(
            str(frame),
            str(job_id),
            line(f"{record.state}: {record.error}" if record.error else record.state),
            str(len(record.items)),
            record.when,
            record.run.id[:8],
        )
    return table


COMMAND = Command(
    name="manifest",
    configure=configure,
    run=run,
)
