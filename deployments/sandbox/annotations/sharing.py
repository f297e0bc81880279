"""Which part of a request's annotations each job of a task stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cvat_flows.deployments.sandbox.store import Row


def share_among_jobs(body: Row, jobs: Sequence[Row], data: Row) -> list[tuple[Row, Row]]:
    """Split the body of a request for a task into one body for each job.

    A tag or shape goes to each job that has its frame; without such a job it is dropped. A track
    goes in parts to all jobs that have one of its keyframes.

    Returns:
        Each job with its body, in the order of `jobs`; jobs that get nothing are left out.
    """
    body = _mirror_to_honeypots(body, data["_honeypots"]) if data["_honeypots"] else body
    owners: dict[int, list[int]] = {}
    shares: defaultdict[int, defaultdict[str, list[Row]]]
    shares = defaultdict(lambda: defaultdict(list))
    for kind in ("tags", "shapes"):
        for item in body.get(kind) or ():
            if (frame := item["frame"]) not in owners:
                having = (job for job in jobs if job["start_frame"] <= frame <= job["stop_frame"])
                owners[frame] = [job["id"] for job in having]
            for job_id in owners[frame]:
                shares[job_id][kind].append(item)
    for track in body.get("tracks") or ():
        for job in jobs:
            if (part := _part_of_track(track, job, data["size"])) is not None:
                shares[job["id"]]["tracks"].append(part)
    return [(job, shares[job["id"]]) for job in jobs if job["id"] in shares]


def _mirror_to_honeypots(body: Row, honeypots: dict[str, int]) -> Row:
    """Copy what a pool frame gets to the frame's honeypots, in place of what they would get."""
    real_frames = {int(copy): real for copy, real in honeypots.items()}
    mirrored = dict(body)
    for kind in ("tags", "shapes"):
        items = body.get(kind) or []
        given = {item["frame"] for item in items}
        mirrored[kind] = [one for one in items if real_frames.get(one["frame"]) not in given]
        for copy, real in real_frames.items():
            mirrored[kind] += [_on_frame(one, copy) for one in items if one["frame"] == real]
    return mirrored


def _on_frame(item: Row, frame: int) -> Row:
    elements = [{**element, "frame": frame} for element in item.get("elements") or ()]
    return {**item, "frame": frame, "elements": elements}


def _part_of_track(track: Row, job: Row, size: int) -> Row | None:
    """Return a job's part of a track. It ends `outside` if the track continues in another job."""
    start, stop = job["start_frame"], job["stop_frame"]
    keyframes = [one for one in track.get("shapes") or () if one["frame"] < size]
    inside = [one for one in keyframes if start <= one["frame"] <= stop]
    if not inside:
        return None
    if any(one["frame"] > stop for one in keyframes):
        inside.append({**inside[-1], "frame": stop + 1, "outside": True})
    parts = (_part_of_track(one, job, size) for one in track.get("elements") or ())
    elements = [part for part in parts if part is not None]
    return {**track, "frame": inside[0]["frame"], "shapes": inside, "elements": elements}
