"""The two forms of an annotation: as a create echoes it, and as a GET returns it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cvat_flows.deployments.sandbox.store import Row

KINDS = ("tags", "shapes", "tracks")
Attributes = Mapping[int, Mapping[int, str]]
"""Default values of attributes, by label id and attribute id."""


def echoed_and_stored(kind: str, item: Row, attributes: Attributes) -> tuple[Row, Row]:
    """Return both forms of an object of a request.

    The echoed form repeats the request. The stored form, which a GET returns, has all attributes
    and floats for numbers.
    """
    given = {one["spec_id"]: str(one["value"]) for one in item.get("attributes") or ()}
    defaults = attributes[item["label_id"]].items()
    echoed = {
        "frame": item["frame"],
        "label_id": item["label_id"],
        "group": item.get("group"),
        "source": item.get("source", "manual"),
        "attributes": item.get("attributes") or [],
    }
    complete = [{"spec_id": key, "value": given.get(key, default)} for key, default in defaults]
    stored = {**echoed, "attributes": complete}
    if kind == "shapes":
        geometry = _geometry(item)
        echoed |= geometry
        floats = [float(value) for value in geometry["points"]]
        stored |= {**geometry, "points": floats, "rotation": float(geometry["rotation"])}
    if kind == "tracks":
        shapes = [
            {"frame": one["frame"], "attributes": one.get("attributes") or [], **_geometry(one)}
            for one in item.get("shapes") or ()
        ]
        echoed["shapes"] = stored["shapes"] = shapes
    return echoed, stored


def _geometry(item: Row) -> dict[str, Any]:
    defaults = {"points": [], "rotation": 0, "occluded": False, "outside": False, "z_order": 0}
    return {"type": item["type"], **{name: item.get(name, defaults[name]) for name in defaults}}


def filled_in(item: Row, attributes: Attributes) -> list[int]:
    """Return the ids of the attributes that an object of a request and its elements leave out."""
    given = {one["spec_id"] for one in item.get("attributes") or ()}
    missing = [number for number in attributes[item["label_id"]] if number not in given]
    for element in item.get("elements") or ():
        missing += filled_in(element, attributes)
    return missing


def parts_of(body: Row) -> Iterator[Row]:
    """Yield a stored object and its elements."""
    yield body
    for element in body.get("elements") or ():
        yield from parts_of(element)
