"""Command lines that do again what a run did."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from cvat_flows.flows.parameters import AnnotateTaskParameters

_APART = {"task_id", "function", "function_parameters", "clear_existing"}
_TYPES = {int: "int", float: "float", str: "str", bool: "bool"}


def call_of(
    parameters: AnnotateTaskParameters,
    *,
    command: str = "annotate",
    without: Collection[str] = (),
    **changed: Any,
) -> str:
    """The command line for these parameters, options in their defaults left out.

    `changed` are fields with other values, `without` fields to leave out. What a command line
    cannot hold (function parameters that are lists or mappings, null in place of a default) makes
    it the flow's parameters in JSON.
    """
    values = parameters.model_dump() | changed
    words = ["cvat-flows", command, str(parameters.task_id)]
    kind = "--function-file" if parameters.function.endswith(".py") else "--function-module"
    words += [kind, parameters.function]
    options = {
        name: values[name]
        for name, field in AnnotateTaskParameters.model_fields.items()
        if name not in _APART and name not in without and values[name] != field.default
    }
    given = parameters.function_parameters
    if None in options.values() or any(type(value) not in _TYPES for value in given.values()):
        return json.dumps({"parameters": values}, ensure_ascii=False, default=str)
    for name, value in given.items():
        words += ["-p", f"{name}={_TYPES[type(value)]}:{value!s}"]
    for name, value in options.items():
        words += _option(name, value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name}".replace("_", "-")
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, list):
        return [option, *map(str, value)]
    if isinstance(value, Mapping):
        return [option, json.dumps(value, ensure_ascii=False)]
    return [option, str(value)]
