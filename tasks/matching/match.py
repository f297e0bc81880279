"""Match a function's labels with a task's, and find everything that does not fit.

Without a mapping the rules are those of the SDK's driver 2.80
(`cvat_sdk/auto_annotation/driver.py`, `_AnnotationMapper`), looked at in its order and worded as
there, so that the first mismatch is the one that it would raise. Unlike there, the search goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cvat_flows.tasks.matching.attributes import compare_attributes, value_validator
from cvat_flows.tasks.matching.log import Notes, Place
from cvat_flows.tasks.matching.mapping import LabelMapping, SpecMapping, SublabelMapping
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import (
    AttributeMatch,
    LabelMatch,
    MatchRow,
    SpecMatch,
    SpecMismatch,
)
from cvat_flows.tasks.matching.unknown_names import unknown_names
from cvat_flows.tasks.model.labels import ANY, Label

__all__ = ["Comparison", "MatchRow", "SpecMatch", "SpecMismatch", "compare_spec", "match_spec"]


def match_spec(
    spec_labels: Sequence[Label],
    task_labels: Sequence[Label],
    *,
    allow_unmatched_labels: bool = False,
    conv_mask_to_poly: bool = False,
    mapping: SpecMapping | None = None,
) -> SpecMatch:
    """Match the function's labels with the task's: by name, or as the mapping says.

    `allow_unmatched_labels` drops what the task does not have, as in the SDK; a name of the task
    that the mapping gives has to exist all the same.

    Raises SpecMismatch, which names every label, sublabel and attribute that does not fit.
    """
    comparison = compare_spec(
        spec_labels,
        task_labels,
        allow_unmatched_labels=allow_unmatched_labels,
        conv_mask_to_poly=conv_mask_to_poly,
        mapping=mapping,
    )
    if comparison.mismatches:
        raise SpecMismatch(comparison.mismatches, comparison.match.rows)
    return comparison.match


@frozen(kw_only=True)
class Comparison:
    """A match, complete or not."""

    match: SpecMatch
    """Without what does not fit."""
    mismatches: tuple[MatchRow, ...]
    """In the order in which the SDK's driver looks at them."""

    @property
    def rows(self) -> tuple[MatchRow, ...]:
        """Everything that was compared, then what only the task has."""
        return self.match.rows


def compare_spec(
    spec_labels: Sequence[Label],
    task_labels: Sequence[Label],
    *,
    allow_unmatched_labels: bool = False,
    conv_mask_to_poly: bool = False,
    mapping: SpecMapping | None = None,
) -> Comparison:
    """Compare as `match_spec` does, and raise nothing."""
    mapping = mapping or SpecMapping()
    notes = Notes(allow_unmatched=allow_unmatched_labels)
    by_name = {label.name: label for label in task_labels}
    nearest = NearestName(by_name)
    used: set[str] = set()
    labels: dict[int, LabelMatch | None] = {}
    for label in spec_labels:
        entry = mapping.label(label.name)
        place = Place(kind="label", text=f"label {label.name!r}", path=label.name)
        target = notes.look_up(place, label.name, label.type, entry, by_name, nearest)
        labels[label.id] = None
        if target is not None:
            used.add(target.name)
            labels[label.id] = _match_label(label, target, place, entry, conv_mask_to_poly, notes)
    for label in task_labels:
        if label.name not in used:
            notes.not_produced("label", label.name, label.type)
    unknown = unknown_names(mapping, spec_labels)
    notes.rows.extend(unknown)
    notes.mismatches.extend(unknown)
    match = SpecMatch(labels=labels, conv_mask_to_poly=conv_mask_to_poly, rows=tuple(notes.rows))
    return Comparison(match=match, mismatches=tuple(notes.mismatches))


def _match_label(
    label: Label,
    target: Label,
    place: Place,
    entry: LabelMapping,
    conv_mask_to_poly: bool,
    notes: Notes,
) -> LabelMatch:
    """Source: driver.py, `_build_label_id_mapping`: attributes, sublabels, then the type."""
    expected, problem = _expected_type(label, target, conv_mask_to_poly)
    at = len(notes.rows)
    attributes = _match_attributes(label, target, place, entry, target.name, notes)
    by_name = {sublabel.name: sublabel for sublabel in target.sublabels}
    nearest = NearestName(by_name)
    used: set[str] = set()
    sublabels: dict[int, LabelMatch | None] = {}
    for sublabel in label.sublabels:
        below = place.sublabel(sublabel.name)
        sub_entry = entry.sublabel(sublabel.name)
        found = notes.look_up(below, sublabel.name, sublabel.type, sub_entry, by_name, nearest)
        sublabels[sublabel.id] = None
        if found is None:
            continue
        used.add(found.name)
        path = f"{target.name} > {found.name}"
        notes.add(below, sublabel.type, "matched", task=path, task_type=found.type)
        sublabels[sublabel.id] = LabelMatch(
            name=sublabel.name,
            id=found.id,
            task_name=found.name,
            attributes=_match_attributes(sublabel, found, below, sub_entry, path, notes),
        )
    for sublabel in target.sublabels:
        if sublabel.name not in used:
            notes.not_produced("sublabel", f"{target.name} > {sublabel.name}", sublabel.type)
    # The SDK looks at the type last, a reader of the table wants the label before what is in it.
    notes.add(
        place,
        label.type,
        "other type" if problem else "matched",
        f"{place.text} {problem}" if problem else "",
        task=target.name,
        task_type=target.type,
    )
    notes.rows.insert(at, notes.rows.pop())
    return LabelMatch(
        name=label.name,
        id=target.id,
        task_name=target.name,
        attributes=attributes,
        expected_type=expected,
        sublabels=sublabels,
        keypoints=tuple(sublabel.id for sublabel in target.sublabels),
    )


def _expected_type(label: Label, target: Label, conv_mask_to_poly: bool) -> tuple[str, str | None]:
    """The type that the function has to return, and what is wrong if the task has another.

    Source: driver.py, `_get_expected_function_output_type`.
    """
    declared = label.type
    if declared == ANY:
        return target.type, None
    if conv_mask_to_poly and declared == "mask":
        declared = "polygon"
    if target.type in (ANY, declared):
        return declared, None
    return declared, f"has type {declared!r} in the function, but {target.type!r} in the dataset"


def _match_attributes(
    label: Label,
    target: Label,
    place: Place,
    entry: SublabelMapping,
    task_path: str,
    notes: Notes,
) -> dict[int, AttributeMatch | None]:
    """Source: driver.py, `_build_sublabel_id_mapping`, `_build_attribute_id_mapping`."""
    by_name = {attribute.name: attribute for attribute in target.attributes}
    nearest = NearestName(by_name)
    used: set[str] = set()
    matches: dict[int, AttributeMatch | None] = {}
    for attribute in label.attributes:
        below = place.attribute(attribute.name)
        to = entry.attribute(attribute.name)
        kind = attribute.input_type
        found = notes.look_up(below, attribute.name, kind, to, by_name, nearest)
        matches[attribute.id] = None
        if found is None:
            continue
        used.add(found.name)
        status, problem = compare_attributes(attribute, found, to)
        notes.add(
            below,
            kind,
            status,
            f"{below.text} {problem}" if problem else "",
            task=f"{task_path} > {found.name}",
            task_type=found.input_type,
        )
        matches[attribute.id] = AttributeMatch(
            name=attribute.name,
            id=found.id,
            accepts=value_validator(attribute.input_type, attribute.values),
            mapping=to if to.values else None,
        )
    for attribute in target.attributes:
        if attribute.name not in used:
            path = f"{task_path} > {attribute.name}"
            notes.not_produced("attribute", path, attribute.input_type)
    return matches
