"""Create and change projects and tasks."""

from __future__ import annotations

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.changes import apply_changes
from cvat_flows.deployments.sandbox.handlers.labels import add_labels, check_labels, move_labels

router = Router()


@router.route("POST", "/api/projects")
def create_project(call: Call) -> Response:
    fields = call.fields("name")
    check_labels(fields.get("labels") or [])
    row = call.store.add(
        "project", name=fields["name"], owner=call.user["id"], assignee=fields.get("assignee_id"),
        bug_tracker=fields.get("bug_tracker") or "",
    )  # fmt: skip
    add_labels(call.store, fields.get("labels") or [], project_id=row["id"])
    return call.answer_row("project", row, 201)


@router.route("PATCH", "/api/projects/{id:int}")
def update_project(call: Call) -> Response:
    row, fields = call.find("project"), call.fields()
    add_labels(call.store, fields.get("labels") or [], project_id=row["id"])
    apply_changes(row, fields, "name", "bug_tracker", "assignee", "owner")
    row["updated_date"] = call.store.now()
    call.store.save("project", row)
    return call.answer_row("project", row)


@router.route("POST", "/api/tasks")
def create_task(call: Call) -> Response:
    store, fields = call.store, call.fields("name")
    labels, project_id = fields.get("labels") or [], fields.get("project_id")
    check_labels(labels)
    if project_id is not None:
        project = store.get("project", project_id)
        if project is None:
            raise Refusal(400, ["Project matching query does not exist."])
        if labels:
            raise Refusal(400, ["Task must have only one of Label set or project_id"])
        if not call.may_access("project", project):
            raise permission_denied()
    elif "labels" not in fields:
        raise Refusal(400, ["Label set or project_id must be present"])
    row = store.add(
        "task", name=fields["name"], owner=call.user["id"], assignee=fields.get("assignee_id"),
        project_id=project_id, subset=fields.get("subset") or "", status="annotation", mode="",
        bug_tracker=fields.get("bug_tracker") or "", validation_mode=None,
        segment_size=fields.get("segment_size") or 0, overlap=fields.get("overlap"),
        _replicas=fields.get("consensus_replicas") or 0,
    )  # fmt: skip
    add_labels(store, labels, task_id=row["id"])
    call.notify("create:task", row)
    return call.answer_row("task", row, 201)


@router.route("PATCH", "/api/tasks/{id:int}")
def update_task(call: Call) -> Response:
    row, fields = call.find("task"), call.fields()
    if "name" in fields:
        call.fields("name")  # refuses a blank name
    if fields.get("labels"):
        owner = {"project_id": row["project_id"]} if row["project_id"] else {"task_id": row["id"]}
        add_labels(call.store, fields["labels"], **owner)
    before = apply_changes(row, fields, "name", "bug_tracker", "subset", "assignee", "owner")
    if fields.get("project_id") not in (None, row["project_id"]):
        project = call.store.get("project", fields["project_id"])
        if project is None or not call.may_access("project", project):
            raise permission_denied()
        move_labels(call.store, row, project["id"])
        before["project_id"] = row["project_id"]
        call.store.change_parent("task", row, "project_id", project["id"])
    if before or fields.get("labels"):
        call.record_update("task", row, before)
    return call.answer_row("task", row)


@router.route("DELETE", "/api/tasks/{id:int}")
def delete_task(call: Call) -> None:
    row = call.find("task")
    call.notify("delete:task", row)
    call.store.delete("task", row)
