"""The fields that select a function and a CVAT server, for all parameter models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aa_functions.installed import installed_functions


class _FunctionChoice:
    """Offers the installed functions, or any other name, in the form.

    They are looked up when a form is made: that reads the metadata of all installed packages.
    """

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [
                {"title": "Installed", "type": "string", "enum": list(installed_functions())},
                {"title": "Other", "type": "string", "minLength": 1},
            ]
        }


FunctionName = Annotated[
    str,
    Field(
        min_length=1,
        description="AA function: the short name of an installed one (shapes), the qualified "
        "name of a Python module, or the path of a .py file",
    ),
    _FunctionChoice(),
]
FunctionParameters = Annotated[
    dict[str, Any], Field(description="Arguments for the function's create(...)")
]
ServerBlock = Annotated[
    str | None,
    Field(
        description="Name of the CVATServer block. Empty: use the worker's CVAT_* variables, else "
        "the block 'default', else the default profile of cvat-cli."
    ),
]
DEFAULT_FUNCTION = "yolov8n"
