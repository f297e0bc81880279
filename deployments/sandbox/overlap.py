"""Jobs that overlap hold copies; a task shows two that agree well as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import orjson

from cvat_flows.deployments.sandbox.store import Annotation, Row

SAME_FROM_IOU = 0.75  # boxes of IoU 0.87 were merged by CVAT, of 0.67 not


def without_twins(rows: list[Annotation], jobs: Sequence[Row]) -> list[Annotation]:
    """The rows less those of a later job that agree with one of the job before, each used once."""
    shared: set[int] = set()
    for job, following in pairwise(jobs):
        shared |= set(range(following["start_frame"], job["stop_frame"] + 1))
    order = {job["id"]: place for place, job in enumerate(jobs)}
    by_frame: defaultdict[int, list[Annotation]] = defaultdict(list)
    for row in rows if shared else ():
        if row.frame in shared:
            by_frame[row.frame].append(row)
    twins: set[int] = set()
    for found in by_frame.values():
        first = min(found, key=lambda row: order[row.job]).job
        ours = [orjson.loads(row.body) for row in found if row.job == first]
        theirs = [orjson.loads(row.body) for row in found if row.job != first]
        pairs = ((_likeness(one, other), one, other) for one in ours for other in theirs)
        close = [pair for pair in pairs if pair[0] >= SAME_FROM_IOU]
        used: set[int] = set()
        for _, one, other in sorted(close, key=lambda pair: -pair[0]):
            if not {one["id"], other["id"]} & used:
                used |= {one["id"], other["id"]}
                twins.add(other["id"])
    return [row for row in rows if row.id not in twins]


def _likeness(one: Row, other: Row) -> float:
    """IoU of two rectangles of a label; of everything else 1 if equal, or 0."""
    kept = ("label_id", "type", "points", "attributes")
    if one.get("type") == other.get("type") == "rectangle" and one["label_id"] == other["label_id"]:
        (a, b, c, d), (e, f, g, h) = one["points"], other["points"]
        shared = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
        union = (c - a) * (d - b) + (g - e) * (h - f) - shared
        return shared / union if union > 0 else float(one["points"] == other["points"])
    elements = zip(one.get("elements") or (), other.get("elements") or (), strict=False)
    same = all(one.get(name) == other.get(name) for name in kept)
    return float(same and all(_likeness(a, b) == 1 for a, b in elements))
