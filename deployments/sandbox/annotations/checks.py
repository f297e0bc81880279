"""Which annotations CVAT accepts, and the texts with which it refuses others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cvat_flows.deployments.sandbox.annotations.forms import KINDS, Attributes
from cvat_flows.deployments.sandbox.answers import REQUIRED, TOO_LOW, Refusal
from cvat_flows.deployments.sandbox.store import Row

NULL = ["This field may not be null."]
VALID_POINT_COUNTS: Mapping[str, Callable[[int], bool]] = {
    "rectangle": lambda count: count == 4,
    "ellipse": lambda count: count == 4,
    "cuboid": lambda count: count == 16,
    "polygon": lambda count: count >= 6 and count % 2 == 0,
    "polyline": lambda count: count >= 4 and count % 2 == 0,
    "points": lambda count: count >= 2 and count % 2 == 0,
    "mask": lambda count: count >= 1,
    "skeleton": lambda count: True,
}
"""Tells for each type of shape whether a number of points is valid."""


def check_body(body: Row, action: str, attributes: Attributes) -> None:
    """Check all objects of a request.

    Raises:
        Refusal: 400 if an object is malformed, or has a label or attribute of another task.
    """
    all_errors: Row = {}
    for kind in KINDS:
        errors = [_id_error(one, action) or _errors(kind, one) for one in body.get(kind) or ()]
        if any(errors):
            all_errors[kind] = errors
    if all_errors:
        raise Refusal(400, all_errors)
    for one in (one for kind in KINDS for one in body.get(kind) or ()):
        _check_labels(one, attributes)
        if len(one.get("source", "")) > 16:
            raise Refusal(500, "value too long for type character varying(16)")


def _id_error(item: Row, action: str) -> Row:
    given = item.get("id") is not None
    if action == "create" and given:
        return {"id": ["must be absent"]}
    if action == "delete" and not given and not _errors("tags", item):
        return {"id": ["must be present and not null"]}
    return {}


def _errors(kind: str, item: Row, in_track: bool = False) -> Row:
    """Return the errors of a tag, shape or track by field."""
    required = ["frame", *([] if in_track else ["label_id"]), *(["type"] * (kind == "shapes"))]
    errors: Row = {name: REQUIRED for name in required if name not in item}
    for name in ("frame", "label_id", "group", "z_order"):
        value = item.get(name, 0)
        if value is None:
            errors |= {} if name == "group" else {name: NULL}
        elif type(value) is not int:
            errors[name] = ["A valid integer is required."]
        elif value < 0 and name != "z_order":
            errors[name] = TOO_LOW
    source = item.get("source", "manual")
    if not source:
        errors["source"] = NULL if source is None else ["This field may not be blank."]
    for attribute in item.get("attributes") or ():
        if not {"spec_id", "value"} <= attribute.keys():
            errors["attributes"] = [
                dict.fromkeys({"spec_id", "value"} - attribute.keys(), REQUIRED)
            ]
    if kind == "shapes":
        errors |= _geometry_errors(item, in_track, errors)
    inner = {"shapes": item.get("shapes") or ()} if kind == "tracks" else {}
    inner |= {"elements": item.get("elements") or ()} if kind != "tags" and not in_track else {}
    for name, parts in inner.items() if not errors else ():
        found = [
            _errors(kind if name == "elements" else name, one, name == "shapes") for one in parts
        ]
        errors |= {name: found} if any(found) else {}
    return errors


def _geometry_errors(item: Row, in_track: bool, others: Row) -> Row:
    """Return a shape's errors of geometry. Lengths are checked if nothing else is wrong."""
    errors: Row = {}
    kind, rotation, points = item.get("type"), item.get("rotation", 0), item.get("points", [])
    if "type" in item and kind not in VALID_POINT_COUNTS:
        errors["type"] = [f'"{kind}" is not a valid choice.']
    if not 0 <= rotation <= 360:
        high = ["Ensure this value is less than or equal to 360."]
        errors["rotation"] = TOO_LOW if rotation < 0 else high
    if points is None:
        errors["points"] = NULL
    elif not all(type(value) in (int, float) for value in points):
        errors["points"] = ["Value must be a float or an integer"]
    if errors or others:
        return errors
    if not VALID_POINT_COUNTS[str(kind)](len(points)):
        return {"points": [f"invalid length for shape type '{kind}'"]}
    if kind == "skeleton" and not item.get("elements") and not in_track:
        return {"elements": ["at least one required for skeleton shape"]}
    if kind != "skeleton" and item.get("elements"):
        return {"elements": ["not allowed for non-skeleton shape"]}
    return {}


def _check_labels(item: Row, attributes: Attributes) -> None:
    defaults = attributes.get(item["label_id"])
    if defaults is None:
        raise Refusal(400, [f"label_id `{item['label_id']}` is invalid"])
    for attribute in item.get("attributes") or ():
        if attribute["spec_id"] not in defaults:
            raise Refusal(400, [f"spec_id `{attribute['spec_id']}` is invalid"])
    for element in item.get("elements") or ():
        _check_labels(element, attributes)
