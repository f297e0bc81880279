"""What is known of a parameter besides its type, its default and its description.

A parameter model states it next to the field, so that an option is added in one place:

    frames: Annotated[str | None, Option(group="frames", changes_result=False)] = Field(...)
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Group = Literal[
    "detections",
    "labels",
    "frames",
    "truth",
    "figures",
    "issues",
    "existing annotations",
    "run",
    "options",
]
"""In the order in which `--help` lists them, after the essential options."""


@frozen(kw_only=True)
class Option:
    """Facts about a field of a parameter model.

    Attributes:
        group: The heading under which `--help` lists the flag.
        metavar: What `--help` calls the flag's value, such as `SECONDS`. Empty: the choices.
        changes_result: Whether another value can give other annotations on a frame. Frames that
            were annotated with another value are then done again.
        has_own_argument: The commands have an argument for it that is not made from the field.
        is_alias: Another field says the same. The form in the Prefect UI and `--help` leave it out.
        is_essential: The form and `--help` show it first, not in its group.
    """

    group: Group = "options"
    metavar: str = ""
    changes_result: bool = True
    has_own_argument: bool = False
    is_alias: bool = False
    is_essential: bool = False


def option_of(field: FieldInfo) -> Option:
    """Return what a model states of a field. By default a field changes the result."""
    return next((one for one in field.metadata if isinstance(one, Option)), Option())


def fields_without_result(model: type[BaseModel]) -> set[str]:
    """Return the names of the fields that do not change what is annotated on a frame."""
    return {
        name for name, field in model.model_fields.items() if not option_of(field).changes_result
    }
