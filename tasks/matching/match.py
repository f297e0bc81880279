"""Match a function's labels with a task's, and find everything that does not fit.

Without a mapping, the rules and their order are those of the driver of cvat-sdk 2.80
(`cvat_sdk/auto_annotation/driver.py`, `_AnnotationMapper`). So the first mismatch is the one that
the driver would raise. Unlike the driver, this finds the others as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cvat_flows.tasks.matching.attributes import compare_attributes, value_validator
from cvat_flows.tasks.matching.log import MatchLog, SpecItem
from cvat_flows.tasks.matching.mapping import LabelMapping, SpecMapping, SublabelMapping
from cvat_flows.tasks.matching.names import ByName
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


def match_spec(
    spec_labels: Sequence[Label],
    task_labels: Sequence[Label],
    *,
    allow_unmatched_labels: bool = False,
    conv_mask_to_poly: bool = False,
    mapping: SpecMapping | None = None,
) -> SpecMatch:
    """Match the function's labels with the task's, by name or by a mapping.

    Args:
        allow_unmatched_labels: Drop what the task does not have, as in the SDK. Names in the task
            that the mapping gives must exist nevertheless.
        conv_mask_to_poly: Expect polygons from labels of type mask, as in the SDK.

    Raises:
        SpecMismatch: names every label, sublabel and attribute that does not fit.
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
    """A match, and everything that does not fit."""

    match: SpecMatch
    """Everything that fits."""
    mismatches: tuple[MatchRow, ...]
    """In the order in which the SDK's driver checks them."""

    @property
    def rows(self) -> tuple[MatchRow, ...]:
        """Everything that was compared, then labels that only the task has."""
        return self.match.rows


def compare_spec(
    spec_labels: Sequence[Label],
    task_labels: Sequence[Label],
    *,
    allow_unmatched_labels: bool = False,
    conv_mask_to_poly: bool = False,
    mapping: SpecMapping | None = None,
) -> Comparison:
    """Match as `match_spec` does, but return mismatches instead of raising them."""
    mapping = mapping or SpecMapping()
    log = MatchLog(allow_unmatched=allow_unmatched_labels)
    known = ByName(task_labels)
    nearest = NearestName(label.name for label in task_labels)
    used: set[str] = set()
    labels: dict[int, LabelMatch | None] = {}
    for label in spec_labels:
        entry = mapping.label(label.name)
        item = SpecItem(kind="label", text=f"label {label.name!r}", path=label.name)
        target = log.find_target(item, label.name, label.type, entry, known, nearest)
        labels[label.id] = None
        if target is not None:
            used.add(target.name)
            labels[label.id] = _match_label(label, target, item, entry, conv_mask_to_poly, log)
    for label in task_labels:
        if label.name not in used:
            log.add_not_produced("label", label.name, label.type)
    unknown = unknown_names(mapping, spec_labels)
    log.rows.extend(unknown)
    log.mismatches.extend(unknown)
    match = SpecMatch(labels=labels, conv_mask_to_poly=conv_mask_to_poly, rows=tuple(log.rows))
    return Comparison(match=match, mismatches=tuple(log.mismatches))


def _match_label(
    label: Label,
    target: Label,
    item: SpecItem,
    entry: LabelMapping,
    conv_mask_to_poly: bool,
    log: MatchLog,
) -> LabelMatch:
    """Match one label. Source: driver.py, `_build_label_id_mapping`."""
    expected, problem = _expected_type(label, target, conv_mask_to_poly)
    first_row = len(log.rows)
    attributes = _match_attributes(label, target, item, entry, target.name, log)
    known = ByName(target.sublabels)
    nearest = NearestName(sublabel.name for sublabel in target.sublabels)
    used: set[str] = set()
    sublabels: dict[int, LabelMatch | None] = {}
    for sublabel in label.sublabels:
        sub_item = item.sublabel(sublabel.name)
        sub_entry = entry.sublabel(sublabel.name)
        found = log.find_target(sub_item, sublabel.name, sublabel.type, sub_entry, known, nearest)
        sublabels[sublabel.id] = None
        if found is None:
            continue
        used.add(found.name)
        path = f"{target.name} > {found.name}"
        log.add(sub_item, sublabel.type, "matched", task=path, task_type=found.type)
        sublabels[sublabel.id] = LabelMatch(
            name=sublabel.name,
            id=found.id,
            task_name=found.name,
            attributes=_match_attributes(sublabel, found, sub_item, sub_entry, path, log),
        )
    for sublabel in target.sublabels:
        if sublabel.name not in used:
            log.add_not_produced("sublabel", f"{target.name} > {sublabel.name}", sublabel.type)
    # The SDK checks the type last, but in the table the label comes before its contents.
    log.add(
        item,
        label.type,
        "different type" if problem else "matched",
        f"{item.text} {problem}" if problem else "",
        task=target.name,
        task_type=target.type,
    )
    log.rows.insert(first_row, log.rows.pop())
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
    """Return the type that the function must return, and what is wrong if the task differs.

    Source: driver.py, `_get_expected_function_output_type`.
    """
    declared = label.type
    if declared == ANY:
        return target.type, None
    if conv_mask_to_poly and declared == "mask":
        declared = "polygon"
    if target.type in (ANY, declared):
        return declared, None
    return declared, f"has type {declared!r} in the function, but {target.type!r} in the task"


def _match_attributes(
    label: Label,
    target: Label,
    item: SpecItem,
    entry: SublabelMapping,
    task_path: str,
    log: MatchLog,
) -> dict[int, AttributeMatch | None]:
    """Match the attributes of one label. Source: driver.py, `_build_attribute_id_mapping`."""
    known = ByName(target.attributes)
    nearest = NearestName(attribute.name for attribute in target.attributes)
    used: set[str] = set()
    matches: dict[int, AttributeMatch | None] = {}
    for attribute in label.attributes:
        sub_item = item.attribute(attribute.name)
        sub_entry = entry.attribute(attribute.name)
        type_ = attribute.input_type
        found = log.find_target(sub_item, attribute.name, type_, sub_entry, known, nearest)
        matches[attribute.id] = None
        if found is None:
            continue
        used.add(found.name)
        status, problem = compare_attributes(attribute, found, sub_entry)
        log.add(
            sub_item,
            type_,
            status,
            f"{sub_item.text} {problem}" if problem else "",
            task=f"{task_path} > {found.name}",
            task_type=found.input_type,
        )
        matches[attribute.id] = AttributeMatch(
            name=attribute.name,
            id=found.id,
            accepts=value_validator(attribute.input_type, attribute.values),
            mapping=sub_entry if sub_entry.values else None,
        )
    for attribute in target.attributes:
        if attribute.name not in used:
            path = f"{task_path} > {attribute.name}"
            log.add_not_produced("attribute", path, attribute.input_type)
    return matches
