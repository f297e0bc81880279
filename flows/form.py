"""The parameters of a flow, made from a parameter model.

A flow takes the model's fields by name, so `prefect deployment run ... -p task_id=5` works and the
form in the Prefect UI starts with what people set. The other fields are in the group `advanced`.
"""

# No `from __future__ import annotations`: Prefect reads the types of a signature.

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from functools import wraps
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from cvat_flows.flows.option import Option, option_of
from cvat_flows.tasks.model.errors import CvatFlowsError

ADVANCED = "advanced"
"""Name of the flow parameter that holds the fields which are not on the first page of the form."""
_DESCRIPTION = "Options that are rarely needed. They keep their defaults if you leave this empty."

_groups: dict[type[BaseModel], type[BaseModel]] = {}
"""The model of the group `advanced`, by parameter model. Other parameter models have no group."""

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class WrongParameters(CvatFlowsError):
    """The parameters of a flow run contradict each other."""


def advanced_model(model: type[BaseModel], name: str, module: str) -> type[BaseModel]:
    """Give a parameter model a group `advanced`, and return the group's model.

    Its fields are those of the parameter model that are not essential.
    """
    fields: dict[str, Any] = {
        field_name: (field.annotation, _titled(field_name, field))
        for field_name, field in _form_fields(model).items()
        if not option_of(field).is_essential
    }
    config = ConfigDict(
        extra="forbid", title="Show", json_schema_extra={"description": _DESCRIPTION}
    )
    made: type[BaseModel] = create_model(name, __config__=config, __module__=module, **fields)
    _groups[model] = made
    return made


def takes_fields_of(
    model: type[BaseModel],
) -> Callable[[Callable[[Mapping[str, Any]], Result]], Callable[..., Result]]:
    """Let a function of a mapping take the fields of a parameter model by name."""

    def decorate(function: Callable[[Mapping[str, Any]], Result]) -> Callable[..., Result]:
        @wraps(function)
        def with_fields(**parameters: Any) -> Result:
            return function(parameters)

        signature = _signature(model).replace(
            return_annotation=inspect.signature(function).return_annotation
        )
        with_fields.__signature__ = signature  # type: ignore[attr-defined]
        with_fields.__annotations__ = {
            name: parameter.annotation for name, parameter in signature.parameters.items()
        }
        return with_fields

    return decorate


def flow_parameters(parameters: BaseModel) -> dict[str, Any]:
    """Return the parameters of a flow run, as JSON values.

    What has its default is left out of the group `advanced`.
    """
    values = parameters.model_dump(mode="json")
    fields = _form_fields(type(parameters))
    has_group = type(parameters) in _groups
    # An empty group, too: it replaces the one that a deployment may have.
    result: dict[str, Any] = {ADVANCED: {}} if has_group else {}
    for name, field in fields.items():
        if option_of(field).is_essential or not has_group:
            result[name] = values[name]
        elif getattr(parameters, name) != field.get_default(call_default_factory=True):
            result[ADVANCED][name] = values[name]
    return result


def options_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in the parameters of a flow run, by name: the reverse of the above."""
    options = {name: value for name, value in parameters.items() if name != ADVANCED}
    advanced = parameters.get(ADVANCED)
    if isinstance(advanced, BaseModel):
        advanced = advanced.model_dump(exclude_unset=True)
    return {**options, **(advanced or {})}


def read_parameters(model: type[Model], parameters: Mapping[str, Any]) -> Model:
    """Make a parameter model from the parameters of a flow run. Raises WrongParameters."""
    try:
        return model.model_validate(options_of(parameters))
    except ValidationError as error:
        problems = (
            ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
            for one in error.errors()
        )
        raise WrongParameters("; ".join(problems)) from None


def _form_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {
        name: field for name, field in model.model_fields.items() if not option_of(field).is_alias
    }


def _signature(model: type[BaseModel]) -> inspect.Signature:
    advanced = _groups.get(model)
    parameters = [
        _parameter(name, field)
        for name, field in _form_fields(model).items()
        if advanced is None or option_of(field).is_essential
    ]
    if advanced is not None:
        shown = Field(json_schema_extra={"title": "Advanced options"})
        parameters.append(_keyword(ADVANCED, Annotated[advanced | None, shown], None))
    return inspect.Signature(parameters)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    # Prefect replaces a field's title and description, but keeps what is in json_schema_extra.
    words = {"title": _title(name, field), "description": field.description}
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    shown = Field(json_schema_extra={**extra, **{k: v for k, v in words.items() if v}})
    kept = [one for one in field.metadata if not isinstance(one, Option)]
    annotation: Any = field.annotation
    for one in [*kept, shown]:
        annotation = Annotated[annotation, one]
    empty = inspect.Parameter.empty
    default = empty if field.is_required() else field.get_default(call_default_factory=True)
    return _keyword(name, annotation, default)


def _titled(name: str, field: FieldInfo) -> FieldInfo:
    field = copy(field)
    field.title = _title(name, field)
    return field


def _title(name: str, field: FieldInfo) -> str:
    return field.title or name.replace("_", " ").capitalize()


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
