"""The parameters of the flows, and the forms that the Prefect UI makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from cvat_flows.flows.form import WrongParameters, flow_parameters, options_of, read_parameters
from cvat_flows.flows.option import option_of
from cvat_flows.flows.parameters import AdvancedOptions, AnnotateTaskParameters
from cvat_flows.flows.prefect_flows import (
    annotate_new_tasks_flow,
    annotate_task_flow,
    evaluate_task_flow,
    maintain_flow,
    rank_frames_flow,
)

FIRST = ["task_id", "function", "conf_threshold", "label_mapping", "existing", "dry_run"]

FLOWS = [
    annotate_task_flow,
    annotate_new_tasks_flow,
    evaluate_task_flow,
    maintain_flow,
    rank_frames_flow,
]


def form_of(flow: Any) -> dict[str, Any]:
    return dict(parameter_schema(flow).model_dump())


def test_the_form_starts_with_what_people_set_and_ends_with_a_closed_group() -> None:
    form = form_of(annotate_task_flow)
    shown = sorted(form["properties"], key=lambda name: form["properties"][name]["position"])
    assert shown[: len(FIRST)] == FIRST
    assert shown[-1] == "advanced"
    assert form["required"] == ["task_id"]
    # A group that may be null is closed in both UIs until a person opens it.
    assert form["properties"]["advanced"]["default"] is None
    reference, nothing = form["properties"]["advanced"]["anyOf"]
    assert reference == {"$ref": "#/definitions/AdvancedOptions"}
    assert nothing == {"type": "null"}


def test_the_form_offers_the_installed_functions_and_takes_any_other() -> None:
    field = form_of(annotate_task_flow)["properties"]["function"]
    installed, other = field["anyOf"]
    assert field["default"] in installed["enum"]
    assert {"shapes", "yolo", "yolov8n"} <= set(installed["enum"])
    assert other == {"title": "Other", "type": "string", "minLength": 1}


def test_every_option_is_on_the_form_once() -> None:
    form = form_of(annotate_task_flow)
    group = form["definitions"]["AdvancedOptions"]["properties"]
    names = [*form["properties"], *group]
    assert len(names) == len(set(names))
    expected = {
        name
        for name, field in AnnotateTaskParameters.model_fields.items()
        if not option_of(field).is_alias
    }
    assert set(names) - {"advanced"} == expected


@pytest.mark.parametrize("flow", FLOWS)
def test_titles_and_descriptions_are_words(flow: Any) -> None:
    form = form_of(flow)
    for group in [form, *form["definitions"].values()]:
        for name, field in group["properties"].items():
            title = field["title"]
            assert title[0].isupper(), name
            assert "_" not in title, name
            assert field.get("description") or name == "advanced", name


def test_parameters_survive_the_way_through_a_flow_run() -> None:
    given = AnnotateTaskParameters(
        task_id=5, existing="replace", frames="0-9", max_shapes_per_frame=None
    )
    parameters = flow_parameters(given)
    assert parameters["existing"] == "replace"
    assert parameters["advanced"] == {"frames": "0-9", "max_shapes_per_frame": None}
    assert read_parameters(AnnotateTaskParameters, parameters) == given
    # As the flow gets them from Prefect: the group is a model.
    typed = {**parameters, "advanced": AdvancedOptions(**parameters["advanced"])}
    assert options_of(typed) == options_of(parameters)
    assert read_parameters(AnnotateTaskParameters, typed) == given


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(WrongParameters, match="max_failed_frames: Input should be"):
        read_parameters(
            AnnotateTaskParameters, {"task_id": 5, "advanced": {"max_failed_frames": -1}}
        )
