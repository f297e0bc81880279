"""Making and changing projects, tasks, jobs, labels, issues and comments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from cvat_flows.deployments.sandbox.listing import listing, mine
from cvat_flows.deployments.sandbox.resources import job_status, may
from cvat_flows.deployments.sandbox.shapes import POINTS
from cvat_flows.deployments.sandbox.store import Row, Store
from cvat_flows.deployments.sandbox.web import REQUIRED, TOO_LOW, Call, Refusal, denied, route

TYPES = {*POINTS, "any", "tag"}
CHOICES = {
    "state": ("new", "in progress", "rejected", "completed"),
    "stage": ("annotation", "validation", "acceptance"),
}


def changes(row: Row, new: Row, *names: str) -> Row:
    """Change what differs, `owner_id` being `owner`; gives what was there before."""
    given = {name: new.get(f"{name}_id", new.get(name, row[name])) for name in names}
    before = {name: row[name] for name in names if row[name] != given[name]}
    row |= given
    return before


@route("POST", "/api/projects")
def create_project(call: Call) -> Response:
    fields = call.fields("name")
    check_labels(fields.get("labels") or [])
    row = call.store.add(
        "project", name=fields["name"], owner=call.user["id"], assignee=fields.get("assignee_id"),
        bug_tracker=fields.get("bug_tracker") or "",
    )  # fmt: skip
    add_labels(call.store, fields.get("labels") or [], project_id=row["id"])
    return call.shown("project", row, 201)


@route("PATCH", "/api/projects/{id:int}")
def update_project(call: Call) -> Response:
    row, fields = call.find("project"), call.fields()
    add_labels(call.store, fields.get("labels") or [], project_id=row["id"])
    changes(row, fields, "name", "bug_tracker", "assignee", "owner")
    row["updated_date"] = call.store.now()
    call.store.save("project", row)
    return call.shown("project", row)


@route("POST", "/api/tasks")
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
        if not may(store, call.user, "project", project):
            raise denied()
    elif "labels" not in fields:
        raise Refusal(400, ["Label set or project_id must be present"])
    row = store.add(
        "task", name=fields["name"], owner=call.user["id"], assignee=fields.get("assignee_id"),
        project_id=project_id, subset=fields.get("subset") or "", status="annotation", mode="",
        bug_tracker=fields.get("bug_tracker") or "", validation_mode=None,
        segment_size=fields.get("segment_size") or 0, overlap=fields.get("overlap"),
    )  # fmt: skip
    add_labels(store, labels, task_id=row["id"])
    call.tell("create:task", row)
    return call.shown("task", row, 201)


@route("PATCH", "/api/tasks/{id:int}")
def update_task(call: Call) -> Response:
    row, fields = call.find("task"), call.fields()
    call.fields(*({"name"} & fields.keys()))  # not blank
    if fields.get("labels"):
        owner = {"project_id": row["project_id"]} if row["project_id"] else {"task_id": row["id"]}
        add_labels(call.store, fields["labels"], **owner)
    before = changes(row, fields, "name", "bug_tracker", "subset", "assignee", "owner")
    if before or fields.get("labels"):
        call.changed("task", row, before)
    return call.shown("task", row)


@route("DELETE", "/api/tasks/{id:int}")
def delete_task(call: Call) -> None:
    row = call.find("task")
    call.tell("delete:task", row)
    call.store.drop("task", row)


@route("PATCH", "/api/jobs/{id:int}")
def update_job(call: Call) -> Response:
    job, fields = call.find("job"), call.fields()
    for name, choices in CHOICES.items():
        if fields.get(name, choices[0]) not in choices:
            raise Refusal(400, {name: [f'"{fields[name]}" is not a valid choice.']})
    if fields.get("assignee") and call.store.get("user", fields["assignee"]) is None:
        raise Refusal(400, {"assignee": [f'Invalid pk "{fields["assignee"]}".']})
    if fields.get("stage", job["stage"]) != job["stage"]:
        fields = {"state": "new", **fields}
    if before := changes(job, fields, "state", "stage", "assignee"):
        call.changed("job", job, before)
        task = call.store.at("task", job["task_id"])
        reached = {job_status(one) for one in call.store.of("job", task_id=task["id"])}
        beyond = "annotation" if "annotation" in reached else "validation"
        task["status"] = "completed" if reached == {"completed"} else beyond
        call.store.save("task", task)
        if "stage" in before:
            call.changed("task", task)
    return call.shown("job", job)


def check_labels(specs: list[Row], taken: Iterable[str] = ()) -> None:
    """Raise Refusal for labels that CVAT refuses."""
    errors: list[Row] = []
    for spec in specs:
        errors.append({} if spec.get("name") or "id" in spec else {"name": REQUIRED})
        if (kind := spec.get("type", "any")) not in TYPES:
            errors[-1]["type"] = [f'"{kind}" is not a valid choice.']
    if any(errors):
        raise Refusal(400, {"labels": errors})
    names = [*taken, *(spec["name"] for spec in specs if "id" not in spec)]
    if len(set(names)) < len(names):
        raise Refusal(400, ["All label names must be unique"])


def add_labels(store: Store, specs: list[Row], **owner: Any) -> None:
    """Add labels to a task or project; one with an `id` is changed, or with `deleted` removed."""
    check_labels(specs, [label["name"] for label in store.of("label", **owner)])
    for spec in specs:
        label = store.get("label", spec.get("id"))
        if label is None:
            _add_label(store, spec, None, owner)
        elif spec.get("deleted"):
            store.drop("label", label)
        else:
            changes(label, spec, "name", "color")
            new = [one for one in spec.get("attributes") or [] if "id" not in one]
            label["attributes"] = label["attributes"] + [_attribute(store, one) for one in new]
            store.save("label", label)


def _add_label(store: Store, spec: Row, parent_id: int | None, owner: Row) -> Row:
    colour = "#" + hashlib.sha256(spec["name"].encode()).hexdigest()[:6]
    label = store.add(
        "label", name=spec["name"], type=spec.get("type") or "any", parent_id=parent_id,
        has_parent=parent_id is not None, color=spec.get("color") or colour, **owner,
        attributes=[_attribute(store, one) for one in spec.get("attributes") or []],
    )  # fmt: skip
    if label["type"] == "skeleton":
        svg = spec.get("svg") or ""
        for sublabel in spec.get("sublabels") or []:
            made = _add_label(store, sublabel, label["id"], owner)
            named = f'data-label-name="{re.escape(made["name"])}"'
            svg = re.sub(named, f'data-label-id="{made["id"]}"', svg)
        label["svg"] = svg
        store.save("label", label)
    return label


def _attribute(store: Store, spec: Row) -> Row:
    kept = {name: spec[name] for name in ("name", "mutable", "input_type")}
    text, values = str(spec.get("default_value") or ""), spec.get("values") or [""]
    return {"id": store.next_id("attribute"), **kept, "default_value": text, "values": values}


@route("GET", "/api/labels")
def list_labels(call: Call) -> Row:
    store, query = call.store, call.query
    if "job_id" in query:  # whoever is assigned to a job may read them so, and not by the task
        job = call.find("job", int(query["job_id"]))
        rows = store.labels_of(store.at("task", job["task_id"]))
    elif "task_id" in query:
        if call.sandbox.quirks and store.get("task", int(query["task_id"])) is None:
            raise Refusal(500, "labels of a task that does not exist")
        rows = store.labels_of(call.find("task", int(query["task_id"])))
    elif "project_id" in query:
        rows = store.of("label", project_id=call.find("project", int(query["project_id"]))["id"])
    else:
        rows = mine(call, "label")
    tops = [row for row in rows if row["parent_id"] is None]
    return listing(call, "label", tops, oldest_first=True)


@route("GET", "/api/issues")
def list_issues(call: Call) -> Row:
    rows = mine(call, "issue")
    if "task_id" in call.query:
        jobs = {job["id"] for job in call.store.of("job", task_id=int(call.query["task_id"]))}
        rows = [row for row in rows if row["job"] in jobs]
    return listing(call, "issue", rows)


@route("POST", "/api/issues")
def create_issue(call: Call) -> Response:
    fields = call.fields("job", "frame", "position", "message")
    if fields["frame"] < 0:
        raise Refusal(400, {"frame": TOO_LOW})
    if call.store.get("job", fields["job"]) is None:
        raise Refusal(400, ["Job matching query does not exist."])
    call.find("job", fields["job"])
    kept = {name: fields[name] for name in ("job", "frame", "position")}
    row = call.store.add("issue", **kept, owner=call.user["id"], assignee=None, resolved=False)
    _add_comment(call, row["id"], fields["message"])
    return call.shown("issue", row, 201)


@route("PATCH", "/api/issues/{id:int}")
def update_issue(call: Call) -> Response:
    row = call.find("issue")
    changes(row, call.fields(), "resolved", "position")
    call.store.save("issue", row)
    return call.shown("issue", row)


@route("POST", "/api/comments")
def create_comment(call: Call) -> Response:
    fields = call.fields("issue", "message")
    row = _add_comment(call, call.find("issue", fields["issue"])["id"], fields["message"])
    return call.shown("comment", row, 201)


def _add_comment(call: Call, issue: int, message: str) -> Row:
    return call.store.add("comment", issue=issue, message=message, owner=call.user["id"])
