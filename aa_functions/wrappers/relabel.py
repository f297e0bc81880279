"""Replace the ids of labels and attributes in annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cvat_sdk import models
from cvat_sdk.auto_annotation import BadFunctionError

from aa_functions.wrappers.found import copy_of
from aa_functions.wrappers.labels import LabelIds


def relabelled(item: Any, ids: Mapping[int, LabelIds], *, function: str) -> Any:
    """Return a copy of an annotation with other ids.

    Args:
        item: A tag, a shape, or an element of a skeleton.
        ids: The new ids, by those of the function.
        function: Its title, for errors.

    Raises:
        BadFunctionError: if the function has not declared an id.
    """
    new = _known(ids, item.get("label_id"), "label", function)
    changes: dict[str, Any] = {"label_id": new.label}
    if item.get("attributes"):
        changes["attributes"] = [
            models.AttributeValRequest(
                spec_id=_known(new.attributes, one.spec_id, "attribute", function), value=one.value
            )
            for one in item.get("attributes")
        ]
    if item.get("elements"):
        changes["elements"] = [
            relabelled(one, new.sublabels, function=function) for one in item.get("elements")
        ]
    return copy_of(item, **changes)


def _known(ids: Mapping[int, Any], number: Any, what: str, function: str) -> Any:
    if number not in ids:
        raise BadFunctionError(
            f"the function {function!r} returned the {what} id {number!r}, which its spec lacks"
        )
    return ids[number]
