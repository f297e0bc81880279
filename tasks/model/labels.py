"""Labels of functions and of CVAT tasks, as plain values of the same type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen
from cvat_sdk.auto_annotation import BadFunctionError, DetectionFunctionSpec

from cvat_flows.tasks.model.errors import CvatFlowsError

ANY = "any"
SKELETON = "skeleton"


class BadSpecError(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The function's `spec` is not a `DetectionFunctionSpec`."""


@frozen(kw_only=True)
class Attribute:
    """One attribute of a label or sublabel."""

    id: int
    name: str
    input_type: str
    """`select`, `radio`, `checkbox`, `number` or `text`."""
    values: tuple[str, ...] = ()
    """The choices; for `number`: minimum, maximum and step."""
    default: str = field(default="", eq=False, repr=False)
    """The value that CVAT fills in, for an attribute of a task. Comparisons ignore it, because it
    can change in CVAT without changing any annotation."""


@frozen(kw_only=True)
class Label:
    """One label, or one sublabel (keypoint) of a skeleton."""

    id: int
    name: str
    type: str = ANY
    """A CVAT shape type, `tag` or `any`."""
    attributes: tuple[Attribute, ...] = ()
    sublabels: tuple[Label, ...] = field(default=())


def labels_of_spec(spec: Any) -> tuple[Label, ...]:
    """Return the labels that a function declares, in its order.

    `DetectionFunctionSpec` has already checked that the ids are unique.

    Raises BadSpecError if `spec` is not a `DetectionFunctionSpec`.
    """
    if not isinstance(spec, DetectionFunctionSpec):
        raise BadSpecError(
            f"the function's spec is of type {type(spec).__name__!r}; it must be a"
            " cvat_sdk.auto_annotation.DetectionFunctionSpec"
        )
    return _labels(spec.labels)


def labels_of_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Label, ...]:
    """Convert labels of CVAT from rows of `GET /api/labels`."""
    return tuple(
        Label(
            id=row["id"],
            name=row["name"],
            type=str(row.get("type") or ANY),
            attributes=tuple(
                Attribute(
                    id=attribute["id"],
                    name=attribute["name"],
                    input_type=str(attribute["input_type"]),
                    values=tuple(attribute.get("values") or ()),
                    default=attribute.get("default_value") or "",
                )
                for attribute in row.get("attributes") or ()
            ),
            sublabels=labels_of_rows(row.get("sublabels") or ()),
        )
        for row in rows
    )


def _labels(models: Iterable[Any]) -> tuple[Label, ...]:
    # The SDK's models lack the attributes of optional fields that were not set.
    return tuple(
        Label(
            id=model.id,
            name=model.name,
            type=str(getattr(model, "type", ANY)),
            attributes=_attributes(model),
            sublabels=_labels(getattr(model, "sublabels", ())),
        )
        for model in models
    )


def _attributes(model: Any) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(
            id=attribute.id,
            name=attribute.name,
            input_type=attribute.input_type.value,
            values=tuple(attribute.values),
        )
        for attribute in getattr(model, "attributes", ())
    )
