"""Change jobs; create and delete ground-truth jobs."""

from __future__ import annotations

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.changes import apply_changes
from cvat_flows.deployments.sandbox.media import ground_truth
from cvat_flows.deployments.sandbox.resources import frame_numbers, job_status
from cvat_flows.deployments.sandbox.store import Row

CHOICES = {
    "state": ("new", "in progress", "rejected", "completed"),
    "stage": ("annotation", "validation", "acceptance"),
}

router = Router()


@router.route("PATCH", "/api/jobs/{id:int}")
def update_job(call: Call) -> Response:
    job, fields = call.find("job"), call.fields()
    for name, choices in CHOICES.items():
        if fields.get(name, choices[0]) not in choices:
            raise Refusal(400, {name: [f'"{fields[name]}" is not a valid choice.']})
    if {"assignee", "stage"} & fields.keys():
        call.find("task", job["task_id"])  # somebody assigned to a job only may not change these
    if fields.get("assignee") and call.store.get("user", fields["assignee"]) is None:
        raise Refusal(400, {"assignee": [f'Invalid pk "{fields["assignee"]}".']})
    if fields.get("stage", job["stage"]) != job["stage"]:
        fields = {"state": "new", **fields}
    if before := apply_changes(job, fields, "state", "stage", "assignee"):
        call.record_update("job", job, before)
        task = call.store.existing("task", job["task_id"])
        task["status"] = _task_status(call.store.children("job", task_id=task["id"]))
        call.store.save("task", task)
        if "stage" in before:
            call.record_update("task", task)
    return call.answer_row("job", job)


def _task_status(jobs: list[Row]) -> str:
    statuses = {job_status(job) for job in jobs}
    if statuses == {"completed"}:
        return "completed"
    return "annotation" if "annotation" in statuses else "validation"


@router.route("POST", "/api/jobs")
def create_ground_truth_job(call: Call) -> Response:
    store, fields = call.store, call.fields("task_id", "type")
    task = call.find("task", int(fields["task_id"]))
    size = (store.get("data", task["id"]) or {"size": 0})["size"]
    if fields["type"] != "ground_truth":
        raise Refusal(400, ["Only ground truth jobs can be created"])
    if not size:
        raise Refusal(400, ["This task has no data"])
    if store.jobs_of(task["id"], "ground_truth"):
        raise Refusal(400, ["A task cannot have more than 1 GT job"])
    if fields.get("frame_selection_method") == "manual":
        _check_frames(fields.get("frames") or [], size)
    ranges = [(job["start_frame"], job["stop_frame"]) for job in store.jobs_of(task["id"])]
    chosen = ground_truth.choose_frames(fields, range(size), ranges)
    job = ground_truth.add_job(store, task, (0, size - 1), chosen)
    call.notify("create:job", job)
    call.record_update("task", task)
    return call.answer_row("job", job, 201)


def _check_frames(frames: list[int], size: int) -> None:
    if not frames:
        raise Refusal(400, ["This list may not be empty."])
    if unknown := ", ".join(str(frame) for frame in frames if not 0 <= frame < size):
        raise Refusal(400, [f"The following frames do not exist in the task: {unknown}"])
    if len(set(frames)) < len(frames):
        raise Refusal(400, ["Frames must not repeat"])


@router.route("DELETE", "/api/jobs/{id:int}")
def delete_ground_truth_job(call: Call) -> None:
    job = call.find("job")
    task = call.find("task", job["task_id"])
    if job["type"] != "ground_truth":
        raise Refusal(400, ["Only ground truth jobs can be removed"])
    call.store.delete("job", job)
    task["validation_mode"] = None
    call.record_update("task", task)


@router.route("GET", "/api/tasks/{id:int}/validation_layout")
def read_validation_layout(call: Call) -> Row:
    task = call.find("task")
    jobs = call.store.jobs_of(task["id"], "ground_truth")
    data = call.store.get("data", task["id"]) or {"_honeypots": {}, "_frames_per_job": None}
    return {
        "mode": task["validation_mode"],
        "frames_per_job_count": data["_frames_per_job"],
        "validation_frames": frame_numbers(jobs[0]) if jobs else [],
        "disabled_frames": [],
        "honeypot_count": len(data["_honeypots"]),
        "honeypot_frames": [int(copy) for copy in data["_honeypots"]],
        "honeypot_real_frames": list(data["_honeypots"].values()),
    }
