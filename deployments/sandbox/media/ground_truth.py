"""Choose ground-truth frames, and hide honeypots: copies of ground-truth frames in other jobs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from cvat_flows.deployments.sandbox.answers import Refusal
from cvat_flows.deployments.sandbox.media.pictures import Files
from cvat_flows.deployments.sandbox.store import Row, Store

FRAMES_PER_JOB = "frames_per_job"


def choose_frames(
    params: Row, names: Sequence[Any], ranges: Sequence[tuple[int, int]]
) -> list[int]:
    """Return the chosen frame numbers, ascending.

    Args:
        params: CVAT's validation parameters: the selection method and its options.
        names: What `manual` selection names the frames by, in frame order.
        ranges: First and last frame of each job.
    """
    method = params.get("frame_selection_method")
    generator = random.Random(params.get("random_seed"))
    if method == "manual":
        return sorted(names.index(frame) for frame in params["frames"])
    if method == "random_uniform":
        return sorted(generator.sample(range(len(names)), _count(params, "frame", len(names))))
    if method == "random_per_job":
        chosen = set()
        for start, stop in ranges:
            job = range(start, stop + 1)
            chosen |= set(generator.sample(job, _count(params, FRAMES_PER_JOB, len(job))))
        return sorted(chosen)
    raise Refusal(400, {"frame_selection_method": [f'"{method}" is not a valid choice.']})


def _count(params: Row, name: str, available: int) -> int:
    count = params.get(f"{name}_count") or float(params.get(f"{name}_share") or 0) * available
    return max(1, min(round(float(count)), available))


def add_honeypots(files: Files, data: Row, params: Row, segment_size: int) -> Files:
    """Return the frames of a `gt_pool` task: each job with its honeypots, then the pool.

    Describes them in `data`: the pool, the frame that each honeypot copies, the jobs' ranges.
    """
    generator = random.Random(params.get("random_seed"))
    chosen = choose_frames(params, [file[0] for file in files], [])
    pool = sorted(files[number] for number in chosen)
    ordinary = [file for file in files if file not in pool]
    size, per_job = segment_size or len(ordinary), _count(params, FRAMES_PER_JOB, len(pool))
    frames: Files = []
    copies: list[tuple[int, int]] = []
    ranges = []
    for first in range(0, len(ordinary), size):
        job = ordinary[first : first + size]
        for place in generator.sample(range(len(pool)), per_job):
            job.insert(generator.randrange(len(job) + 1), pool[place])
        copies += [(len(frames) + n, pool.index(f)) for n, f in enumerate(job) if f in pool]
        ranges.append((len(frames), len(frames) + len(job) - 1))
        frames += job
    data["_pool"] = list(range(len(frames), len(frames) + len(pool)))
    data["_honeypots"] = {str(copy): data["_pool"][place] for copy, place in copies}
    data["_ranges"] = [*ranges, (data["_pool"][0], data["_pool"][-1])]
    data["_frames_per_job"] = per_job
    return frames + pool


def add_replicas(store: Store, task: Row, parent: Row) -> list[Row]:
    """Create the consensus replicas of a job."""
    frames = (parent["start_frame"], parent["stop_frame"])
    replicas = [add_job(store, task, frames) for _ in range(task.get("_replicas") or 0)]
    for job in replicas:
        job |= {"type": "replica", "parent_job_id": parent["id"]}
        store.save("job", job)
    return replicas


def add_job(
    store: Store, task: Row, frames: tuple[int, int], chosen: list[int] | None = None
) -> Row:
    """Create a job for a range of frames; with `chosen`, a ground-truth job for these of them."""
    if chosen is not None:
        task["validation_mode"] = "gt"
        store.save("task", task)
    return store.add(
        "job", task_id=task["id"], type="annotation" if chosen is None else "ground_truth",
        start_frame=frames[0], stop_frame=frames[1], state="new", stage="annotation",
        assignee=None, parent_job_id=None, _frames=chosen, _poisoned=False,
    )  # fmt: skip
