"""An option is added in one place: the form, the command line and the digest follow."""

from __future__ import annotations

import argparse
from typing import Annotated

import pytest
from pydantic import Field

from cvat_flows.flows.commands.arguments.model_options import (
    add_model_arguments,
    build,
    model_values,
)
from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.reporting.command_line import command_for


class Extended(AnnotateTaskParameters):
    """A model with three more options."""

    smooth: Annotated[float, Option(group="detections")] = Field(0.0, description="Smooth boxes")
    note: Annotated[str, Option(group="run", changes_result=False)] = Field("", description="Note")
    forgotten: int = Field(0, description="A field without an Option")


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser, Extended)
    return parser


def test_it_is_in_the_form() -> None:
    properties = Extended.model_json_schema()["properties"]
    assert properties["smooth"]["description"] == "Smooth boxes"
    assert set(properties["smooth"]) == {"default", "description", "title", "type"}


def test_it_is_on_the_command_line_in_its_group(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    groups = {group.title: group for group in parser._action_groups if group._group_actions}
    titles = ["essential options", "detections", "labels", "frames", "run"]
    assert [title for title in groups if title in titles] == titles
    assert "clear-existing" not in text  # for those who come from cvat-cli, not for others
    assert parser.parse_args(["--clear-existing"]).clear_existing
    assert "--smooth" in groups["detections"]._group_actions[-1].option_strings
    assert "--note" in groups["run"]._group_actions[-1].option_strings
    assert "Smooth boxes (default: 0.0)" in text
    assert "(default: None)" not in text
    values = model_values(parser.parse_args(["--smooth", "0.5"]), Extended)
    assert build(Extended, {"task_id": 1, **values}).smooth == 0.5


def test_it_changes_the_digest_unless_it_says_otherwise() -> None:
    plain = Extended(task_id=1).result_digest()
    assert Extended(task_id=2, note="x").result_digest() == plain
    assert Extended(task_id=1, smooth=0.5).result_digest() != plain
    # What nobody thought of must not answer a changed run from the manifest.
    assert Extended(task_id=1, forgotten=1).result_digest() != plain


CHANGE_THE_RESULT: dict[str, object] = {
    "conf_threshold": 0.5,
    "allow_unmatched_labels": True,
    "conv_mask_to_poly": True,
    "label_mapping": {"car": "bus"},
    "label_thresholds": {"car": 0.5},
    "geometry": "clip",
    "missing_keypoints": "outside",
    "max_shapes_per_frame": 5,
}
CHANGE_NO_RESULT: dict[str, object] = {
    "task_id": 2,
    "function": "f.py",
    "function_parameters": {"size": 1},
    "function_name": "cars",
    "server": "block",
    "detect_timeout": 5.0,
    "existing": "replace",
    "clear_existing": True,
    "frames": "1",
    "jobs": [1],
    "only_unannotated": True,
    "renew": True,
    "fresh": True,
    "upload": "at_end",
    "include_ground_truth": True,
    "max_failed_frames": 3,
    "frames_per_run": 5,
    "use_cache": False,
    "dry_run": True,
    "split": "jobs",
    "split_runs": 5,
    "wait_for_writer": 5.0,
}


def test_every_field_is_known_to_these_tests() -> None:
    assert {*CHANGE_THE_RESULT, *CHANGE_NO_RESULT} == set(AnnotateTaskParameters.model_fields)


@pytest.mark.parametrize("name", [*CHANGE_THE_RESULT, *CHANGE_NO_RESULT])
def test_the_digest_changes_with_the_result_only(name: str) -> None:
    values = CHANGE_THE_RESULT | CHANGE_NO_RESULT
    changed = AnnotateTaskParameters.model_validate({"task_id": 1, name: values[name]})
    plain = AnnotateTaskParameters(task_id=1)
    assert (changed.result_digest() != plain.result_digest()) == (name in CHANGE_THE_RESULT)


@pytest.mark.parametrize(
    ("given", "frames", "allowed"),
    [
        # In a small task, ten bad images do not mean that something is wrong with the run.
        (None, 6, 10),
        (None, 100, 10),
        (None, 119, 11),
        (None, 1_000, 100),
        (0.5, 30, 15),
        (0.001, 5_000, 10),
        # A number is meant as it is, and 0 is all frames or none.
        (1, 5_000, 1),
        (5, 5, 5),
        (0, 5_000, 0),
    ],
)
def test_how_many_frames_may_fail(given: float | None, frames: int, allowed: int) -> None:
    values = {} if given is None else {"max_failed_frames": given}
    parameters = AnnotateTaskParameters.model_validate({"task_id": 1, **values})
    assert parameters.failed_frames_allowed(frames) == allowed


def test_the_digest_of_the_defaults_is_pinned() -> None:
    """If it changes, every installation annotates all its frames again: is that meant?"""
    assert AnnotateTaskParameters(task_id=1).result_digest() == "257f9e4f55ab5c22"


def test_an_alias_is_left_out_of_the_command() -> None:
    command = command_for(AnnotateTaskParameters(task_id=1, clear_existing=True))
    assert command.endswith("--existing clear")
