"""Annotations as CVAT's JSON: write one, or read those of a job one at a time.

Decoding a large job in one step takes ten times the memory of its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, cast

from cvat_flows.tasks.model.annotations import TAG, Annotation

Kind = Literal["tags", "shapes"]
KINDS: tuple[Kind, ...] = ("tags", "shapes")
TRACKS = "tracks"

_WHITESPACE = re.compile(r"[ \t\r\n]*")
_ID = re.compile(rb'"id":\s*(\d+)')


def annotation_to_json(annotation: Annotation) -> dict[str, Any]:
    """Return the annotation as the JSON object that CVAT's `create` expects.

    The score is included if there is one. CVAT 2.54 ignores it; later versions
    store it.
    """
    body: dict[str, Any] = {
        "label_id": annotation.label_id,
        "frame": annotation.frame,
        "source": annotation.source,
        "group": annotation.group,
        "attributes": [{"spec_id": i, "value": v} for i, v in annotation.attributes],
    }
    if annotation.score is not None:
        body["score"] = annotation.score
    if annotation.type == TAG:
        return body
    body |= {
        "type": annotation.type,
        "points": list(annotation.points),
        "rotation": annotation.rotation,
        "occluded": annotation.occluded,
        "outside": annotation.outside,
        "z_order": annotation.z_order,
    }
    if annotation.elements:
        body["elements"] = [annotation_to_json(element) for element in annotation.elements]
    return body


def annotation_of_json(item: Mapping[str, Any]) -> Annotation:
    """Return the annotation of a tag or shape in CVAT's JSON, without its attributes."""
    return Annotation(
        type=item.get("type") or TAG,
        label_id=item["label_id"],
        frame=item["frame"],
        points=tuple(item.get("points") or ()),
        rotation=item.get("rotation") or 0.0,
        occluded=bool(item.get("occluded")),
        outside=bool(item.get("outside")),
        z_order=item.get("z_order") or 0,
        group=item.get("group") or None,
        score=item.get("score"),
        source=item.get("source") or "manual",
        elements=tuple(map(annotation_of_json, item.get("elements") or ())),
    )


def iter_annotations(body: bytes) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield the tags and shapes of `{"tags": [...], "shapes": [...], ...}`.

    Raises ValueError if the text is not such an object, lacks one of the lists, or ends early.
    """
    return cast("Iterator[tuple[Kind, dict[str, Any]]]", _iter_lists(body, KINDS))


def iter_with_tracks(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tracks, too; their kind is TRACKS. Otherwise like `iter_annotations`."""
    return _iter_lists(body, (*KINDS, TRACKS))


def _iter_lists(body: bytes, names: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    text = body.decode()
    decoder = json.JSONDecoder()
    seen: set[str] = set()
    at = _expect(text, 0, "{")
    while True:
        name, at = decoder.raw_decode(text, _skip_whitespace(text, at))
        at = _skip_whitespace(text, _expect(text, at, ":"))
        if name in names:
            seen.add(name)
            at = _skip_whitespace(text, _expect(text, at, "["))
            while text[at : at + 1] != "]":
                item, at = decoder.raw_decode(text, at)
                yield name, item
                at = _skip_whitespace(text, at)
                if text[at : at + 1] == ",":
                    at = _skip_whitespace(text, at + 1)
                elif text[at : at + 1] != "]":
                    raise ValueError(f"neither ',' nor ']' at {at}")
            at += 1
        else:
            _, at = decoder.raw_decode(text, at)
        at = _skip_whitespace(text, at)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    if _skip_whitespace(text, at + 1) != len(text) or seen != set(names):
        raise ValueError("incomplete answer")


def is_complete(body: bytes) -> bool:
    """Return whether a body is a complete answer of CVAT. This reads it to the end."""
    try:
        for kind, item in iter_annotations(body):
            if not (isinstance(item["id"], int) and isinstance(item["frame"], int)):
                return False
            if kind == "shapes" and not isinstance(item["type"], str):
                return False
            item["label_id"]
    except (ValueError, KeyError, TypeError):
        return False
    return True


def looks_complete(body: bytes) -> bool:
    """Return whether a body ends as a complete answer of CVAT does. Only its end is read."""
    return body.rstrip().endswith(b"}")


def ids_by_kind(body: bytes) -> dict[Kind, list[int]]:
    """Return the ids of all tags and shapes and of their elements.

    This is many times faster than decoding the objects. Raises ValueError as `iter_annotations`
    does, but does not find every incomplete answer.
    """
    tags, shapes, tracks = (body.find(b'"%s":' % kind) for kind in (b"tags", b"shapes", b"tracks"))
    if 0 <= tags < shapes < tracks and looks_complete(body):
        return {
            "tags": [int(found) for found in _ID.findall(body, tags, shapes)],
            "shapes": [int(found) for found in _ID.findall(body, shapes, tracks)],
        }
    ids: dict[Kind, list[int]] = {kind: [] for kind in KINDS}
    for kind, item in iter_annotations(body):
        ids[kind] += [part["id"] for part in (item, *(item.get("elements") or ()))]
    return ids


def _skip_whitespace(text: str, at: int) -> int:
    found = _WHITESPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip_whitespace(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"no {mark!r} at {at}")
    return at + 1
