"""`cvat-flows manifest`: show what was uploaded to a CVAT task, by run or by frame."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from attrs import asdict, evolve
from rich.table import Table

from aa_functions.installed import short_name
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import add_task_id_argument, parse_task_id
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.tables import light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.record.history import RunEntry, read_history
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.record.single_jobs import find_identities
from cvat_flows.tasks.storage import open_storage

Row = tuple[int, int, FrameRecord]
"""A job, a frame, and its record."""
SHOWN_OF_ID = 8
"""Characters of a run's id that are shown. `cvat-flows undo --run` accepts them."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    parser.add_argument("--frames", action="store_true", help="print a row for each frame")
    parser.add_argument("--server", metavar="BLOCK", help="name of the CVATServer block")
    add_output_arguments(parser, of="frame")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    task_id = parse_task_id(arguments)
    use_server_arguments(arguments)
    output = Output.of(arguments)
    client = connect(find_settings(arguments.server))
    storage = open_storage()
    tasks = find_identities(client, storage, task_id)
    known = [(task, name) for task in tasks for name in functions_of_task(storage, task)]
    if not known:
        text = f"task {task_id} on {client.api_map.host}: no manifest, so nothing was uploaded"
        output.say("; ".join(filter(None, [text, describe_namesakes(storage, tasks[0])])))
    for task, name in known:
        shown = short_name(name)
        if task.job_id is not None:
            shown += f", job {task.job_id} alone"
        manifest = Manifest(storage, task=task, function=name, run=RunStamp(id=""))
        rows = list(manifest.records())
        for job_id, frame, record in rows:
            output.row(
                {"function": short_name(name), "job": job_id, "frame": frame, **asdict(record)}
            )
        if arguments.frames:
            output.show(_frames(shown, rows))
        else:
            output.show(_runs(shown, rows, read_history(storage, task=task, function=name)))
    if known and not arguments.frames:
        output.say(
            "now: annotations of the run that the record still lists; to delete those of one run: "
            f"cvat-flows undo {task_id} --run RUN"
        )
    return DONE


def _runs(function: str, rows: Sequence[Row], history: Sequence[RunEntry]) -> Table:
    """Make a table of the runs, the latest last."""
    table = light_table(
        *("run", "when (UTC)", "version", "frames", "added", "deleted", "now"),
        numbers=("added", "deleted", "now"),
        whole=("run", "when (UTC)", "version"),
        title=function,
        gap=1,
    )
    now = Counter(item.run for _, _, record in rows for item in record.items if item.run)
    for entry in _with_unlisted(history, rows, now):
        frames = {"annotated": entry.annotated, "failed": entry.failed}
        text = ", ".join(f"{count:,} {state}" for state, count in frames.items() if count)
        table.add_row(
            entry.run[:SHOWN_OF_ID],
            entry.ended[:16].replace("T", " "),
            entry.fingerprint[:8],
            "undo" if entry.action == "undo" else line(text or entry.stopped or "-"),
            f"{entry.created:,}",
            f"{entry.deleted:,}",
            f"{now[entry.run]:,}",
        )
    return table


def _with_unlisted(
    history: Sequence[RunEntry], rows: Sequence[Row], now: Counter[str]
) -> list[RunEntry]:
    """Add the runs that are only in the records: interrupted ones, and those of old versions."""
    found = {entry.run: entry for entry in history}
    unlisted: dict[str, RunEntry] = {run: RunEntry(run=run) for run in now if run not in found}
    for _, _, record in rows:
        if record.run.id in found:
            continue
        known = unlisted.get(record.run.id, RunEntry(run=record.run.id))
        unlisted[record.run.id] = evolve(
            known,
            ended=max(known.ended, record.when),
            fingerprint=record.run.fingerprint,
            annotated=known.annotated + (record.state == "annotated"),
            failed=known.failed + (record.state == "failed"),
        )
    listed = (evolve(entry, created=now[run]) for run, entry in unlisted.items())
    return sorted([*history, *listed], key=lambda entry: entry.ended)


def _frames(function: str, rows: Sequence[Row]) -> Table:
    table = light_table(
        *("frame", "job", "state", "annotations", "when (UTC)", "run"),
        numbers=("frame", "job", "annotations"),
        whole=("when (UTC)", "run"),
        title=function,
    )
    for job_id, frame, record in sorted(rows, key=lambda row: (row[1], row[0])):
        table.add_row(
            str(frame),
            str(job_id),
            line(f"{record.state}: {record.error}" if record.error else record.state),
            str(len(record.items)),
            record.when[:16].replace("T", " "),
            record.run.id[:SHOWN_OF_ID],
        )
    return table


COMMAND = Command(
    name="manifest",
    configure=configure,
    run=run,
)
