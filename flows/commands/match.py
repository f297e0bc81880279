"""`cvat-flows match`: compare a function's labels with a CVAT task's labels, without
annotating.
"""

from __future__ import annotations

import argparse

from attrs import asdict
from rich.table import Table

from aa_functions.installed import short_name
from aa_functions.reference import load_function
from cvat_flows.flows.commands.arguments.model_options import build
from cvat_flows.flows.commands.arguments.server_options import use_server_arguments
from cvat_flows.flows.commands.arguments.task_arguments import add_task_arguments, task_values
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, MISTAKE
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.cvat.access import read_labels, read_media
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import compare_spec
from cvat_flows.tasks.matching.result import MISMATCHES, MatchRow
from cvat_flows.tasks.model.labels import labels_of_spec
from cvat_flows.tasks.model.text import counted

_USED = {"server", "jobs", "allow_unmatched_labels", "conv_mask_to_poly", "label_mapping"}
_NOT_OPTIONS = set(AnnotateTaskParameters.model_fields) - _USED


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_arguments(parser, exclude=_NOT_OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(AnnotateTaskParameters, task_values(arguments, exclude=_NOT_OPTIONS))
    use_server_arguments(arguments)
    client = connect(find_settings(parameters.server))
    media = read_media(client, parameters.task_id, parameters.jobs)
    function = load_function(parameters.reference)
    comparison = compare_spec(
        labels_of_spec(function.function.spec),
        read_labels(client, media),
        allow_unmatched_labels=parameters.allow_unmatched_labels,
        conv_mask_to_poly=parameters.conv_mask_to_poly,
        mapping=load_mapping(parameters.label_mapping),
    )
    output = Output.of(arguments)
    used = [label for label in comparison.match.labels.values() if label is not None]
    output.show(match_table(comparison.rows, title=f"{short_name(function.name)} and {media}"))
    for row in comparison.rows:
        output.row({**asdict(row), "fits": row.status not in MISMATCHES})
    if comparison.mismatches:
        result = (
            f"{counted(len(comparison.mismatches), 'mismatch', 'mismatches')}: rename labels in "
            "CVAT, or use --label-mapping or --allow-unmatched-labels"
        )
    elif not used:
        result = (
            "no label of the function is in the task or mapped to it, so nothing would be "
            "annotated: add labels in CVAT, or use --label-mapping"
        )
    else:
        dropped = len(comparison.match.labels) - len(used)
        rest = f"; {counted(dropped, 'label')} of the function would be dropped" if dropped else ""
        result = f"the function fits the task{rest}"
    fits = bool(used) and not comparison.mismatches
    output.say(result)
    output.row({"result": result, "fits": fits})
    return DONE if fits else MISTAKE


def match_table(rows: tuple[MatchRow, ...], *, title: str) -> Table:
    """Make a table of all comparisons: mismatches in red, with the nearest name as a hint."""
    table = light_table("", "function", "type", "task", "type", "", title=title)
    for row in rows:
        more = f"; {row.difference}" if row.difference else ""
        hint = f" (nearest: {row.hint}{more})" if row.hint else ""
        table.add_row(
            *(
                line(text)
                for text in (
                    row.kind,
                    row.function or "-",
                    row.function_type or "",
                    row.task or "-",
                    row.task_type or "",
                    (row.message or row.status) + hint,
                )
            ),
            style="red" if row.status in MISMATCHES else None,
        )
    return table


COMMAND = Command(
    name="match",
    configure=configure,
    run=run,
)
