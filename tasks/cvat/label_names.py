"""Fixed names of labels and attributes, so that annotations compare equal when labels are edited.

A task that is moved into a project gets other label ids. A label can be renamed. And if the default
of an attribute is edited, every annotation without a value of its own shows the new one. None of
this changes an annotation. So annotations are compared by the names and defaults that labels had
when they were first seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import asdict, define, field, frozen

from cvat_flows.tasks.model.labels import Attribute, Label


@frozen(kw_only=True)
class AttributeName:
    """How an attribute is called in comparisons, and its defaults."""

    name: str
    first_default: str
    default: str
    """The default now."""


@frozen(kw_only=True)
class LabelName:
    """How a label or sublabel is called in comparisons."""

    name: str
    attributes: Mapping[int, AttributeName] = field(factory=dict)
    """By attribute id (`spec_id`)."""


@frozen(kw_only=True)
class LabelNames:
    """The names of a task's labels and sublabels."""

    by_id: Mapping[int, LabelName] = field(factory=dict)
    edited: bool = False
    """Whether a default is not what it was at first."""


@define(kw_only=True)
class _AttributeRow:
    name: str
    ids: list[int] = field(factory=list)
    default: str = ""


@define(kw_only=True)
class _LabelRow:
    name: str
    ids: list[int] = field(factory=list)
    attributes: list[_AttributeRow] = field(factory=list)


class LabelTable:
    """What labels and attributes were called when they were first seen.

    A label is recognised by its id, else by its name.

    Args:
        rows: What `rows` returned earlier. Raises KeyError or TypeError if it is damaged.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._labels = [
            _LabelRow(
                name=row["name"],
                ids=[*row["ids"]],
                attributes=[_AttributeRow(**one) for one in row["attributes"]],
            )
            for row in rows
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as JSON."""
        return [asdict(row) for row in self._labels]

    def names(self, labels: Iterable[Label]) -> LabelNames:
        """Return the names of labels. The table remembers those that it sees for the first time."""
        found: dict[int, LabelName] = {}
        self._add(labels, "", found)
        return LabelNames(
            by_id=found,
            edited=any(
                attribute.default != attribute.first_default
                for label in found.values()
                for attribute in label.attributes.values()
            ),
        )

    def _add(self, labels: Iterable[Label], prefix: str, found: dict[int, LabelName]) -> None:
        for label, row in _recognise(labels, self._labels, prefix, _label_row):
            attributes = _recognise(label.attributes, row.attributes, "", _attribute_row)
            found[label.id] = LabelName(
                name=row.name,
                attributes={
                    one.id: AttributeName(
                        name=known.name, first_default=known.default, default=one.default
                    )
                    for one, known in attributes
                },
            )
            self._add(label.sublabels, f"{row.name}\n", found)


_Item = TypeVar("_Item", Label, Attribute)
_Row = TypeVar("_Row", _LabelRow, _AttributeRow)


def _recognise(
    items: Iterable[_Item], rows: list[_Row], prefix: str, new: Callable[[str, _Item], _Row]
) -> list[tuple[_Item, _Row]]:
    """Pair labels or attributes with their rows, by id, else by name, else with new rows."""
    items = tuple(items)
    by_id = {number: row for row in rows for number in row.ids}
    found = {item.id: by_id[item.id] for item in items if item.id in by_id}
    taken = {row.name for row in found.values()}
    by_name = {row.name: row for row in rows}
    for item in items:
        if item.id in found:
            continue
        name = f"{prefix}{item.name}"
        if name in taken:  # another one had this name at first
            name = f"{name} ({item.id})"
        row = by_name.get(name)
        if row is None:
            row = new(name, item)
            rows.append(row)
        row.ids.append(item.id)
        taken.add(name)
        found[item.id] = row
    return [(item, found[item.id]) for item in items]


def _label_row(name: str, label: Label) -> _LabelRow:
    return _LabelRow(name=name)


def _attribute_row(name: str, attribute: Attribute) -> _AttributeRow:
    return _AttributeRow(name=name, default=attribute.default)
