"""Walk CVAT's JSON of a job's annotations one object at a time.

Decoding a large job at once takes ten times the memory of its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["tags", "shapes"]
KINDS: tuple[Kind, ...] = ("tags", "shapes")

_SPACE = re.compile(r"[ \t\r\n]*")


def walk(body: bytes) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield the tags and shapes of `{"tags": [...], "shapes": [...], ...}`.

    Raises ValueError if the text is no such object, has not both lists, or ends too early.
    """
    text = body.decode()
    decoder = json.JSONDecoder()
    seen: set[str] = set()
    at = _expect(text, 0, "{")
    while True:
        name, at = decoder.raw_decode(text, _skip(text, at))
        at = _skip(text, _expect(text, at, ":"))
        if name in KINDS:
            seen.add(name)
            at = _skip(text, _expect(text, at, "["))
            while text[at : at + 1] != "]":
                item, at = decoder.raw_decode(text, at)
                yield name, item
                at = _skip(text, at)
                if text[at : at + 1] == ",":
                    at = _skip(text, at + 1)
                elif text[at : at + 1] != "]":
                    raise ValueError(f"neither ',' nor ']' at {at}")
            at += 1
        else:
            _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    if _skip(text, at + 1) != len(text) or seen != set(KINDS):
        raise ValueError("not a whole answer")


def is_whole(body: bytes) -> bool:
    """Whether a body is a whole answer of CVAT's: found out by walking to its end."""
    try:
        for kind, item in walk(body):
            if not (isinstance(item["id"], int) and isinstance(item["frame"], int)):
                return False
            if kind == "shapes" and not isinstance(item["type"], str):
                return False
            item["label_id"]
    except (ValueError, KeyError, TypeError):
        return False
    return True


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"no {mark!r} at {at}")
    return at + 1
