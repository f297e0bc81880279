"""Overlapping jobs store copies of an annotation. CVAT shows two similar copies as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import orjson

from cvat_flows.deployments.sandbox.store import Annotation, Row

MIN_IOU = 0.75
"""From this IoU on, two boxes are copies. CVAT merges boxes of IoU 0.87 and not those of 0.67."""


def without_copies(rows: list[Annotation], jobs: Sequence[Row]) -> list[Annotation]:
    """Return the rows less the copies that later jobs hold of an earlier job's annotations.

    Args:
        rows: Annotations of one kind.
        jobs: The task's jobs in frame order.
    """
    shared: set[int] = set()
    for job, following in pairwise(jobs):
        shared |= set(range(following["start_frame"], job["stop_frame"] + 1))
    order = {job["id"]: place for place, job in enumerate(jobs)}
    by_frame: defaultdict[int, list[Annotation]] = defaultdict(list)
    for row in rows if shared else ():
        if row.frame in shared:
            by_frame[row.frame].append(row)
    copies: set[int] = set()
    for found in by_frame.values():
        first_job = min(found, key=lambda row: order[row.job]).job
        originals = [orjson.loads(row.body) for row in found if row.job == first_job]
        others = [orjson.loads(row.body) for row in found if row.job != first_job]
        copies |= _find_copies(originals, others)
    return [row for row in rows if row.id not in copies]


def _find_copies(originals: list[Row], others: list[Row]) -> set[int]:
    """Return the ids of the others that are copies; each original has one copy at most."""
    pairs = (
        (_similarity(one, other), one["id"], other["id"]) for one in originals for other in others
    )
    similar = [pair for pair in pairs if pair[0] >= MIN_IOU]
    used: set[int] = set()
    copies: set[int] = set()
    for _, original, other in sorted(similar, key=lambda pair: -pair[0]):
        if not {original, other} & used:
            used |= {original, other}
            copies.add(other)
    return copies


def _similarity(one: Row, other: Row) -> float:
    """Return the IoU of two rectangles of one label; for anything else, 1 if equal and 0 if not."""
    if one.get("type") == other.get("type") == "rectangle" and one["label_id"] == other["label_id"]:
        (a, b, c, d), (e, f, g, h) = one["points"], other["points"]
        shared = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
        union = (c - a) * (d - b) + (g - e) * (h - f) - shared
        return shared / union if union > 0 else float(one["points"] == other["points"])
    compared = ("label_id", "type", "points", "attributes")
    equal = all(one.get(name) == other.get(name) for name in compared)
    elements = zip(one.get("elements") or (), other.get("elements") or (), strict=False)
    return float(equal and all(_similarity(a, b) == 1 for a, b in elements))
