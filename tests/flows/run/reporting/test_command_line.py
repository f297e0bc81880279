"""The command that a report shows repeats the run."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

import pytest

from cvat_flows.flows.commands.annotate import COMMAND
from cvat_flows.flows.commands.arguments.model_options import build
from cvat_flows.flows.commands.arguments.task_arguments import task_values
from cvat_flows.flows.commands.preview import COMMAND as PREVIEW
from cvat_flows.flows.form import read_parameters
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.reporting.command_line import command_for
from tests.tasks.reports.report_factory import HOSTILE

EXCLUDED = {"task_id", "function", "function_parameters"}

CASES: list[dict[str, Any]] = [
    {},
    {"function": "some/where/mine.py"},
    {"function": "aa_functions.yolo", "function_parameters": {"model": "a b.pt", "iou": 0.5}},
    {"function_parameters": {"n": -3, "flag": True, "text": 'it\'s "x"; rm -rf /'}},
    {"conf_threshold": 0.25, "allow_unmatched_labels": True, "existing": "replace"},
    {"clear_existing": True},
    {"frames": "0-20,30", "jobs": [3, 4], "only_unannotated": True, "max_failed_frames": 0},
    {"label_thresholds": {"car": 0.5, "*": 0.1, "it's": 0.2}, "use_cache": False},
    {"label_mapping": {"labels": {"a": {"name": "b|`c`\n<d>"}}}, "geometry": "clip"},
    {"server": "my server", "dry_run": True, "frames_per_run": 7},
    *({"server": text} for text in HOSTILE if text and "\x00" not in text),
]


def parsed(call: str) -> AnnotateTaskParameters:
    program, name, *words = shlex.split(call)
    assert (program, name) == ("cvat-flows", COMMAND.name)
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    arguments = parser.parse_args(words)
    (task_id,) = arguments.task_ids
    values = task_values(arguments, task_id=task_id, exclude=EXCLUDED)
    return build(AnnotateTaskParameters, values)


@pytest.mark.parametrize("options", CASES, ids=range(len(CASES)))
def test_the_command_gives_the_same_parameters(options: dict[str, Any]) -> None:
    parameters = AnnotateTaskParameters(task_id=123, **options)
    again = parsed(command_for(parameters)).model_dump(exclude={"clear_existing"})
    assert again == parameters.model_dump(exclude={"clear_existing"})


def test_values_without_a_flag_are_given_as_json() -> None:
    parameters = AnnotateTaskParameters(task_id=123, function_parameters={"names": ["a", "b"]})
    given = json.loads(command_for(parameters, frames="5"))
    assert given["function_parameters"] == {"names": ["a", "b"]}
    assert given["advanced"] == {"frames": "5"}
    any_number = AnnotateTaskParameters(task_id=123, max_shapes_per_frame=None)
    given = json.loads(command_for(any_number))
    assert read_parameters(AnnotateTaskParameters, given) == any_number


def test_a_single_frame_has_a_preview_command() -> None:
    parameters = AnnotateTaskParameters(task_id=123, jobs=[1], conf_threshold=0.5)
    call = command_for(parameters, command="preview", without={"jobs"}, frames="5")
    words = shlex.split(call)
    assert words[1] == PREVIEW.name
    parser = argparse.ArgumentParser()
    PREVIEW.configure(parser)
    arguments = parser.parse_args(words[2:])
    assert (arguments.task_id, arguments.frames, arguments.jobs) == ("123", "5", None)
