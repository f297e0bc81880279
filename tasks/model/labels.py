"""Labels as plain values: the same type for what a function declares and what a task has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen
from cvat_sdk.auto_annotation import BadFunctionError, DetectionFunctionSpec

from cvat_flows.tasks.model.errors import CvatFlowsError

ANY = "any"
SKELETON = "skeleton"


class BadSpecError(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The function's `spec` cannot be read at all."""


@frozen(kw_only=True)
class Attribute:
    """One attribute of a label or sublabel."""

    id: int
    name: str
    input_type: str
    """`select`, `radio`, `checkbox`, `number` or `text`."""
    values: tuple[str, ...] = ()
    """The choices; for `number` minimum, maximum and step."""
    default_value: str | None = None
    mutable: bool = False


@frozen(kw_only=True)
class Label:
    """One label, or one sublabel (keypoint) of a skeleton label."""

    id: int
    name: str
    type: str = ANY
    """A shape type, `tag` or `any`."""
    attributes: tuple[Attribute, ...] = ()
    sublabels: tuple[Label, ...] = field(default=())


def labels_of_spec(spec: Any) -> tuple[Label, ...]:
    """Read the labels that a function declares, in the order in which it does.

    `DetectionFunctionSpec` has checked them when it was made: every id is there and distinct.

    Raises BadSpecError if `spec` is something else.
    """
    if not isinstance(spec, DetectionFunctionSpec):
        raise BadSpecError(
            f"the function's spec is of type {type(spec).__name__!r}; it must be a"
            " cvat_sdk.auto_annotation.DetectionFunctionSpec"
        )
    return _labels(spec.labels)


def labels_of_task(sdk_labels: Iterable[Any]) -> tuple[Label, ...]:
    """Read the labels of a CVAT task, as `task.get_labels()` or `client.api_client` gives them."""
    return _labels(sdk_labels)


def _labels(models: Iterable[Any]) -> tuple[Label, ...]:
    # An optional field that was not set is a missing attribute of the SDK's models.
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
            default_value=getattr(attribute, "default_value", None),
            mutable=getattr(attribute, "mutable", False),
        )
        for attribute in getattr(model, "attributes", ())
    )
