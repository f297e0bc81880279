"""Find names in a label mapping that the function does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from cvat_flows.tasks.matching.attributes import is_valid_value
from cvat_flows.tasks.matching.mapping import (
    WILDCARD,
    AttributeMapping,
    LabelMapping,
    SpecMapping,
    SublabelMapping,
)
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import Kind, MatchRow
from cvat_flows.tasks.model.labels import Attribute, Label

Item = TypeVar("Item", Label, Attribute)


def unknown_names(mapping: SpecMapping, spec_labels: Sequence[Label]) -> list[MatchRow]:
    """Return a row for each label, sublabel, attribute and value that the function does not have.

    An entry under `"*"` applies to several labels; its names must exist in at least one of them.
    """
    return list(_in_labels(mapping, spec_labels))


def _in_labels(mapping: SpecMapping, spec_labels: Sequence[Label]) -> Iterator[MatchRow]:
    yield from _unknown("label", mapping.labels, spec_labels, "the function", "")
    for name, entry in mapping.labels.items():
        labels = _covered(name, mapping.labels, spec_labels)
        if not labels:
            continue
        owner = f"label {name!r}"
        yield from _in_attributes(entry, labels, owner, name)
        yield from _in_sublabels(entry, labels, owner, name)


def _in_sublabels(
    entry: LabelMapping, labels: Sequence[Label], owner: str, path: str
) -> Iterator[MatchRow]:
    sublabels = [sublabel for label in labels for sublabel in label.sublabels]
    yield from _unknown("sublabel", entry.sublabels, sublabels, owner, path)
    for name, sub_entry in entry.sublabels.items():
        covered = _covered(name, entry.sublabels, sublabels)
        if covered:
            sub_owner = f"sublabel {name!r} of {owner}"
            yield from _in_attributes(sub_entry, covered, sub_owner, f"{path} > {name}")


def _in_attributes(
    entry: SublabelMapping, labels: Sequence[Label], owner: str, path: str
) -> Iterator[MatchRow]:
    attributes = [attribute for label in labels for attribute in label.attributes]
    yield from _unknown("attribute", entry.attributes, attributes, owner, path)
    for name, sub_entry in entry.attributes.items():
        covered = _covered(name, entry.attributes, attributes)
        if covered:
            sub_owner = f"attribute {name!r} of {owner}"
            yield from _in_values(sub_entry, covered, sub_owner, f"{path} > {name}")


def _in_values(
    entry: AttributeMapping, attributes: Sequence[Attribute], owner: str, path: str
) -> Iterator[MatchRow]:
    nearest = NearestName(value for attribute in attributes for value in attribute.values)
    for value in entry.values:
        if value != WILDCARD and not any(
            is_valid_value(attribute, value) for attribute in attributes
        ):
            yield _row("attribute", f"value {value!r} of {owner}", path, nearest.find(value))


def _unknown(
    kind: Kind,
    entries: Mapping[str, object],
    known: Iterable[Label | Attribute],
    owner: str,
    path: str,
) -> Iterator[MatchRow]:
    names = dict.fromkeys(item.name for item in known)
    same = set(map(canonical, names))
    nearest = NearestName(names)
    for name in entries:
        if name != WILDCARD and name not in same:
            text = f"{kind} {name!r}" if owner == "the function" else f"{kind} {name!r} of {owner}"
            yield _row(kind, text, f"{path} > {name}" if path else name, nearest.find(name))


def _covered(name: str, entries: Mapping[str, object], known: Sequence[Item]) -> list[Item]:
    """Return the items that an entry applies to."""
    if name == WILDCARD:
        return [item for item in known if canonical(item.name) not in entries]
    return [item for item in known if canonical(item.name) == name]


def _row(kind: Kind, text: str, path: str, hint: str | None) -> MatchRow:
    return MatchRow(
        kind=kind,
        function=path,
        function_type=None,
        task=None,
        task_type=None,
        status="unknown in mapping",
        message=f"{text} is in the mapping, but not in the function",
        hint=hint,
    )
