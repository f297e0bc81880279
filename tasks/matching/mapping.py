"""The label mapping: which name in the task each name of the function maps to.

The format is that of `mapping` in CVAT's own automatic annotation: label names with `name`,
`attributes` and `sublabels`. There are three additions: a string is short for `{name: string}`,
null drops a name, and `"*"` is a wildcard. As a key, `"*"` stands for every name that is not
listed; as a target it means "the same name". A name that is neither listed nor covered by `"*"`
maps to itself, so an empty mapping behaves like the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    model_validator,
)

from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.model.errors import CvatFlowsError

WILDCARD = "*"
"""The key that stands for every name that is not listed."""
SAME_NAME = "*"
"""The target that keeps a name."""

Name = Annotated[StrictStr, Field(min_length=1)]
Key = Annotated[StrictStr, AfterValidator(canonical), Field(min_length=1)]
"""A name of the function, in the form in which names are compared."""
Target = Name | None


def _check_distinct(entries: Any) -> Any:
    """Refuse names that are the same in the form in which names are compared."""
    seen: dict[str, str] = {}
    for name in entries if isinstance(entries, Mapping) else ():
        if isinstance(name, str) and (other := seen.setdefault(canonical(name), name)) != name:
            raise ValueError(f"{other!r} and {name!r} are the same name; remove one of them")
    return entries


# Without it, the last of two entries for one name would silently win.
DISTINCT = BeforeValidator(_check_distinct)
Entry = TypeVar("Entry", bound="AttributeMapping | SublabelMapping")


class MappingError(CvatFlowsError):
    """The label mapping cannot be read or is not valid. `problems` has one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("--label-mapping is not valid: " + "; ".join(problems))
        self.problems = problems

    def __reduce__(self) -> Any:
        return type(self), (self.problems,)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Target = Field(
        default=SAME_NAME, description="Name in the task; null drops it, '*' keeps the name"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"name": value} if value is None or isinstance(value, str) else value

    @model_validator(mode="after")
    def _dropped_has_no_children(self) -> _Entry:
        children = sorted(self.model_fields_set - {"name"})
        if self.name is None and children:
            raise ValueError(f"a dropped name (name: null) cannot have {' and '.join(children)}")
        return self

    def target(self, name: str) -> str | None:
        """Return the task's name for the function's `name`; None if it is dropped."""
        return name if self.name == SAME_NAME else self.name

    @property
    def explicit(self) -> bool:
        """Whether the entry gives a name in the task, which then must exist."""
        return self.name is not None and self.name != SAME_NAME


class AttributeMapping(_Entry):
    """What one attribute maps to."""

    values: dict[Name, Target] = Field(
        default_factory=dict,
        description="The task's value for each of the function's values; null omits the attribute",
    )

    def map_value(self, value: str) -> str | None:
        """Return the task's value for the function's `value`; None if it is dropped."""
        target = self.values.get(value, self.values.get(WILDCARD, SAME_NAME))
        return value if target == SAME_NAME else target


class SublabelMapping(_Entry):
    """What one sublabel (keypoint) maps to."""

    attributes: Annotated[dict[Key, AttributeMapping], DISTINCT] = Field(default_factory=dict)

    def attribute(self, name: str) -> AttributeMapping:
        return _find_entry(self.attributes, name, AttributeMapping)


class LabelMapping(SublabelMapping):
    """What one label maps to."""

    sublabels: Annotated[dict[Key, SublabelMapping], DISTINCT] = Field(default_factory=dict)

    def sublabel(self, name: str) -> SublabelMapping:
        return _find_entry(self.sublabels, name, SublabelMapping)


class SpecMapping(BaseModel):
    """The complete mapping, by the function's label names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Annotated[dict[Key, LabelMapping], DISTINCT] = Field(default_factory=dict)

    def label(self, name: str) -> LabelMapping:
        return _find_entry(self.labels, name, LabelMapping)


def _find_entry(entries: Mapping[str, Entry], name: str, keep_name: type[Entry]) -> Entry:
    found = entries.get(canonical(name))
    if found is None:
        found = entries.get(WILDCARD)
    return keep_name() if found is None else found


def load_mapping(source: Mapping[str, Any] | str | Path | None) -> SpecMapping:
    """Load a mapping from a dict, from YAML text, or from the YAML file at a `Path`.

    Whether its names exist is checked later, when the function is matched with a task.

    Raises MappingError, which names every invalid entry.
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
            [f"it is a {type(labels).__name__}; it must map label names to names in the task"]
        )
    try:
        return SpecMapping.model_validate({"labels": dict(labels)})
    except ValidationError as error:
        raise MappingError([_describe(item) for item in error.errors()]) from None


def _parse_yaml(text: str) -> Any:
    import yaml

    from cvat_flows.tasks.matching.strict_yaml import RepeatedKey, load_yaml

    try:
        return load_yaml(text)
    except RepeatedKey as error:
        raise MappingError([str(error)]) from None
    except yaml.YAMLError as error:
        raise MappingError([f"this is not YAML: {error}"]) from None


def _describe(item: Any) -> str:
    # The path starts with the field `labels`. "[key]" is pydantic's marker for an invalid key.
    path = [str(step) for step in item["loc"][1:] if step != "[key]"]
    where = " > ".join(path) or "mapping"
    if item["type"] == "string_type":
        return f"{where}: {item['input']!r} is not a string; put it in quotes"
    if item["type"] in ("model_type", "dict_type"):
        return f"{where}: {item['input']!r} is not a name, null or a set of fields"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown field; the fields are name, attributes, sublabels and values"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"
