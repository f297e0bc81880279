"""Ground-truth jobs, and honeypots: copies of a pool's frames hidden in the other jobs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.responses import Response

from cvat_flows.deployments.sandbox.resources import numbers
from cvat_flows.deployments.sandbox.store import Row, Store
from cvat_flows.deployments.sandbox.web import Call, Refusal, route

Files = list[tuple[str, Path]]


def choose(params: Row, names: Sequence[Any], ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Frame numbers, selected in one of CVAT's ways: by hand (from `names`) or at random."""
    method, dice = params.get("frame_selection_method"), random.Random(params.get("random_seed"))
    if method == "manual":
        return sorted(names.index(frame) for frame in params["frames"])
    if method == "random_uniform":
        return sorted(dice.sample(range(len(names)), _count(params, "frame", len(names))))
    if method == "random_per_job":
        jobs = [range(start, stop + 1) for start, stop in ranges]
        return sorted(
            {n for job in jobs for n in dice.sample(job, _count(params, PER_JOB, len(job)))}
        )
    raise Refusal(400, {"frame_selection_method": [f'"{method}" is not a valid choice.']})


PER_JOB = "frames_per_job"


def _count(params: Row, name: str, available: int) -> int:
    count = params.get(f"{name}_count") or float(params.get(f"{name}_share") or 0) * available
    return max(1, min(round(float(count)), available))


def with_honeypots(files: Files, data: Row, params: Row, segment_size: int) -> Files:
    """The frames of a `gt_pool` task: those of each job with its honeypots, then the pool."""
    dice, chosen = (
        random.Random(params.get("random_seed")),
        choose(params, [f[0] for f in files], []),
    )
    pool = sorted(files[number] for number in chosen)
    ordinary = [file for file in files if file not in pool]
    size, extra = segment_size or len(ordinary), _count(params, PER_JOB, len(pool))
    laid: Files = []
    copies: list[tuple[int, int]] = []
    ranges = []
    for first in range(0, len(ordinary), size):
        job = ordinary[first : first + size]
        for shown_one in dice.sample(range(len(pool)), extra):
            job.insert(dice.randrange(len(job) + 1), pool[shown_one])
        copies += [(len(laid) + n, pool.index(file)) for n, file in enumerate(job) if file in pool]
        ranges.append((len(laid), len(laid) + len(job) - 1))
        laid += job
    data["_pool"] = list(range(len(laid), len(laid) + len(pool)))
    data["_honeypots"] = {str(copy): data["_pool"][real] for copy, real in copies}
    data["_ranges"] = [*ranges, (data["_pool"][0], data["_pool"][-1])]
    data["_frames_per_job"] = extra
    return laid + pool


def add_job(
    store: Store, task: Row, frames: tuple[int, int], chosen: list[int] | None = None
) -> Row:
    """A job of a range of frames; with `chosen` a ground-truth job of these among them."""
    if chosen is not None:
        task["validation_mode"] = "gt"
        store.save("task", task)
    return store.add(
        "job", task_id=task["id"], type="annotation" if chosen is None else "ground_truth",
        start_frame=frames[0], stop_frame=frames[1], state="new", stage="annotation",
        assignee=None, _frames=chosen, _poisoned=False,
    )  # fmt: skip


@route("POST", "/api/jobs")
def create_job(call: Call) -> Response:
    store, fields = call.store, call.fields("task_id", "type")
    task = call.find("task", int(fields["task_id"]))
    size, frames = (store.get("data", task["id"]) or {"size": 0})["size"], fields.get("frames")
    text = {
        fields["type"] != "ground_truth": "Only ground truth jobs can be created",
        not size: "This task has no data",
        bool(store.jobs_of(task["id"], "ground_truth")): "A task cannot have more than 1 GT job",
    }.get(True)
    if text is None and fields.get("frame_selection_method") == "manual":
        unknown = ", ".join(str(n) for n in frames or () if not 0 <= n < size)
        text = {
            bool(unknown): f"The following frames do not exist in the task: {unknown}",
            not frames: "This list may not be empty.",
            len(set(frames or ())) < len(frames or ()): "Frames must not repeat",
        }.get(True)
    if text is not None:
        raise Refusal(400, [text])
    ranges = [(job["start_frame"], job["stop_frame"]) for job in store.jobs_of(task["id"])]
    job = add_job(store, task, (0, size - 1), choose(fields, range(size), ranges))
    call.tell("create:job", job)
    call.changed("task", task)
    return call.shown("job", job, 201)


@route("DELETE", "/api/jobs/{id:int}")
def delete_job(call: Call) -> None:
    job = call.find("job")
    task = call.find("task", job["task_id"])
    if job["type"] != "ground_truth":
        raise Refusal(400, ["Only ground truth jobs can be removed"])
    call.store.drop("job", job)
    task["validation_mode"] = None
    call.changed("task", task)


@route("GET", "/api/tasks/{id:int}/validation_layout")
def read_layout(call: Call) -> Row:
    task = call.find("task")
    jobs = call.store.jobs_of(task["id"], "ground_truth")
    data = call.store.get("data", task["id"]) or {"_honeypots": {}, "_frames_per_job": None}
    return {
        "mode": task["validation_mode"],
        "frames_per_job_count": data["_frames_per_job"],
        "validation_frames": numbers(jobs[0]) if jobs else [],
        "disabled_frames": [],
        "honeypot_count": len(data["_honeypots"]),
        "honeypot_frames": [int(copy) for copy in data["_honeypots"]],
        "honeypot_real_frames": list(data["_honeypots"].values()),
    }
