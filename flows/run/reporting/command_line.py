"""Command lines that repeat a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from cvat_flows.flows.form import flow_parameters
from cvat_flows.flows.option import option_of
from cvat_flows.flows.parameters import AnnotateTaskParameters

_TYPES = {int: "int", float: "float", str: "str", bool: "bool"}


def command_for(
    parameters: AnnotateTaskParameters,
    *,
    command: str = "annotate",
    without: Collection[str] = (),
    **changed: Any,
) -> str:
    """Return the command line for these parameters, without options that have their defaults.

    If a command line cannot express a value (a function parameter that is a list or mapping, or
    null in place of a default), return the flow's parameters as JSON instead.

    Args:
        command: Name of the command.
        without: Fields to leave out.
        changed: Fields with other values than in `parameters`.
    """
    values = parameters.model_dump() | changed
    words = ["cvat-flows", command, str(parameters.task_id)]
    words += ["--function", parameters.function]
    options = {
        name: values[name]
        for name, field in AnnotateTaskParameters.model_fields.items()
        if name not in without and values[name] != field.default and _is_written(field)
    }
    given = parameters.function_parameters
    if None in options.values() or any(type(value) not in _TYPES for value in given.values()):
        changed_parameters = parameters.model_copy(update=changed)
        return json.dumps(flow_parameters(changed_parameters), ensure_ascii=False)
    for name, value in given.items():
        words += ["-p", f"{name}={_TYPES[type(value)]}:{value!s}"]
    for name, value in options.items():
        words += _option(name, value)
    return shlex.join(words)


def _is_written(field: FieldInfo) -> bool:
    option = option_of(field)
    return not option.has_own_argument and not option.is_alias


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name}".replace("_", "-")
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, list):
        return [option, *map(str, value)]
    if isinstance(value, Mapping):
        return [option, json.dumps(value, ensure_ascii=False)]
    return [option, str(value)]
