"""A function, a task and an output, as the SDK's objects and as ours."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from attrs import define, field, frozen
from cvat_sdk import models
from cvat_sdk.auto_annotation.driver import (
    _AnnotationMapper,
    _AttributeNameMapping,
    _LabelNameMapping,
    _SpecNameMapping,
    _SublabelNameMapping,
)

from cvat_flows.tasks.model.frames import Frame

FIRST_TASK_ID = 1000
"""The function's ids are smaller, so none of them can be taken for one of the task."""
FRAME = Frame(number=7, name="a.png", width=64, height=48, chunk=0, job_ids=(1,))


@frozen(kw_only=True)
class AttributeSpec:
    name: str
    id: int
    input_type: str
    values: list[str]

    def model(self, kind: Any) -> Any:
        return kind(
            name=self.name,
            id=self.id,
            mutable=False,
            input_type=self.input_type,
            values=list(self.values),
        )


@frozen(kw_only=True)
class LabelSpec:
    name: str
    id: int
    type: str | None = "any"
    attributes: list[AttributeSpec] = field(factory=list)
    sublabels: list[LabelSpec] = field(factory=list)

    def model(self, label: Any, sublabel: Any, attribute: Any) -> Any:
        optional: dict[str, Any] = {} if self.type is None else {"type": self.type}
        if self.attributes or label is not models.PatchedLabelRequest:
            optional["attributes"] = [a.model(attribute) for a in self.attributes]
        if self.sublabels or label is models.Label:
            optional["sublabels"] = [s.model(sublabel, None, attribute) for s in self.sublabels]
        return label(name=self.name, id=self.id, **optional)


@define(kw_only=True)
class Case:
    function: list[LabelSpec]
    task: list[LabelSpec]
    allow_unmatched_labels: bool
    conv_mask_to_poly: bool
    mapping: dict[str, Any] | None
    """As in the SDK: names that are not listed are dropped."""
    output: list[Callable[[], Any]]
    """Each creates an annotation anew, because the SDK's driver modifies its input."""

    def spec(self) -> cvataa.DetectionFunctionSpec:
        made = [
            label.model(models.PatchedLabelRequest, models.SublabelRequest, models.AttributeRequest)
            for label in self.function
        ]
        return cvataa.DetectionFunctionSpec(labels=made)

    def task_labels(self) -> list[models.Label]:
        return [label.model(models.Label, models.Sublabel, models.Attribute) for label in self.task]

    def sdk_mapper(self) -> Any:
        """Make the SDK's mapper. Raises BadFunctionError if the SDK rejects the function."""
        names = _SpecNameMapping() if self.mapping is None else _sdk_mapping(self.mapping)
        return _AnnotationMapper(
            logging.getLogger("sdk"),
            self.spec().labels,
            self.task_labels(),
            allow_unmatched_labels=self.allow_unmatched_labels,
            conv_mask_to_poly=self.conv_mask_to_poly,
            spec_nm=names,
        )

    def our_mapping(self) -> dict[str, Any] | None:
        """Return the same mapping in our format: names that are not listed map to null."""
        return None if self.mapping is None else _drop_unlisted(copy.deepcopy(self.mapping))


def _sdk_mapping(mapping: dict[str, Any]) -> _SpecNameMapping:
    def attributes(entry: dict[str, Any]) -> dict[str, _AttributeNameMapping] | None:
        if "attributes" not in entry:
            return None
        return {name: _AttributeNameMapping(to) for name, to in entry["attributes"].items()}

    def sublabels(entry: dict[str, Any]) -> dict[str, _SublabelNameMapping] | None:
        if "sublabels" not in entry:
            return None
        return {
            name: _SublabelNameMapping(to["name"], attributes=attributes(to))
            for name, to in entry["sublabels"].items()
        }

    return _SpecNameMapping(
        labels={
            name: _LabelNameMapping(to["name"], attributes=attributes(to), sublabels=sublabels(to))
            for name, to in mapping.items()
        }
    )


def _drop_unlisted(entries: dict[str, Any]) -> dict[str, Any]:
    for entry in entries.values():
        for below in ("attributes", "sublabels"):
            if isinstance(entry, dict) and below in entry:
                _drop_unlisted(entry[below])
    entries["*"] = None
    return entries
