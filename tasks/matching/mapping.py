"""The mapping configuration: which of the task's names each of the function's names goes to.

The shape is that of the `mapping` of CVAT's own automatic annotation (`name`, `attributes`,
`sublabels` under the name of a label), with three additions: a plain text for `{name: text}`,
null for "drop", and `"*"`. As a key, `"*"` stands for every name that is not listed; as a target
it means "the same name". What is neither listed nor covered by `"*"` goes by its own name, so an
empty mapping is the SDK's rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator

from cvat_flows.tasks.matching.strict_yaml import RepeatedKey, load_yaml
from cvat_flows.tasks.model.errors import CvatFlowsError

REST = "*"
"""As a key: every name that is not listed."""
SAME = "*"
"""As a target: the name itself."""

Name = Annotated[StrictStr, Field(min_length=1)]
Target = Name | None
Entry = TypeVar("Entry", bound="AttributeMapping | SublabelMapping")


class MappingError(CvatFlowsError):
    """The mapping cannot be read, or does not have the form of one."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "the label mapping is not valid: " + "; ".join(self.problems)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Target = Field(
        default=SAME, description="Name in the task; null drops it; '*' keeps the name"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"name": value} if value is None or isinstance(value, str) else value

    @model_validator(mode="after")
    def _dropped_has_nothing_below(self) -> _Entry:
        below = sorted(self.model_fields_set - {"name"})
        if self.name is None and below:
            raise ValueError(f"what is dropped (name: null) cannot have {' and '.join(below)}")
        return self

    def target(self, name: str) -> str | None:
        """The task's name for the function's `name`; None if it is dropped."""
        return name if self.name == SAME else self.name

    @property
    def explicit(self) -> bool:
        """The entry names something of the task, which therefore has to exist."""
        return self.name is not None and self.name != SAME


class AttributeMapping(_Entry):
    """Where one attribute goes."""

    values: dict[Name, Target] = Field(
        default_factory=dict,
        description="The function's values and what they become; null leaves the attribute out",
    )

    def map_value(self, value: str) -> str | None:
        target = self.values.get(value, self.values.get(REST, SAME))
        return value if target == SAME else target


class SublabelMapping(_Entry):
    """Where one sublabel (keypoint) goes."""

    attributes: dict[Name, AttributeMapping] = Field(default_factory=dict)

    def attribute(self, name: str) -> AttributeMapping:
        return _entry(self.attributes, name, AttributeMapping)


class LabelMapping(SublabelMapping):
    """Where one label goes."""

    sublabels: dict[Name, SublabelMapping] = Field(default_factory=dict)

    def sublabel(self, name: str) -> SublabelMapping:
        return _entry(self.sublabels, name, SublabelMapping)


class SpecMapping(BaseModel):
    """The whole mapping, by the function's label names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[Name, LabelMapping] = Field(default_factory=dict)

    def label(self, name: str) -> LabelMapping:
        return _entry(self.labels, name, LabelMapping)


def _entry(entries: Mapping[str, Entry], name: str, by_name: type[Entry]) -> Entry:
    found = entries.get(name)
    if found is None:
        found = entries.get(REST)
    return by_name() if found is None else found


def load_mapping(source: Mapping[str, Any] | str | Path | None) -> SpecMapping:
    """Make a mapping from a plain dict, from YAML text, or from the YAML file at a `Path`.

    Raises MappingError, which names every place that is not as it should be. Whether the names
    exist is checked when the function is matched with a task.
    """
    if source is None:
        return SpecMapping()
    labels: Any = source
    if isinstance(source, Path):
        try:
            source = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MappingError([f"cannot read {str(source)!r}: {error}"]) from None
    if isinstance(source, str):
        labels = _parse_yaml(source)
    if labels is None:
        return SpecMapping()
    if not isinstance(labels, Mapping):
        raise MappingError(
            [f"it is a {type(labels).__name__}; expected label names, each with its target"]
        )
    try:
        return SpecMapping.model_validate({"labels": dict(labels)})
    except ValidationError as error:
        raise MappingError([_problem(item) for item in error.errors()]) from None


def _parse_yaml(text: str) -> Any:
    try:
        return load_yaml(text)
    except RepeatedKey as error:
        raise MappingError([str(error)]) from None
    except yaml.YAMLError as error:
        raise MappingError([f"this is not YAML: {error}"]) from None


def _problem(item: Any) -> str:
    # The first step is our own field `labels`; "[key]" is pydantic's word for a bad key.
    path = [str(step) for step in item["loc"][1:] if step != "[key]"]
    where = " > ".join(path) or "mapping"
    if item["type"] == "string_type":
        return f"{where}: {item['input']!r} is not text; put it in quotes"
    if item["type"] in ("model_type", "dict_type"):
        return f"{where}: {item['input']!r} is neither a name, nor null, nor a set of fields"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown field; there are name, attributes, sublabels and values"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"
