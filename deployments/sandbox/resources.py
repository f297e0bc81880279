"""Access rights and JSON of all kinds of rows."""

from __future__ import annotations

from cvat_flows.deployments.sandbox.store import PARENTS, Row, Store

PATHS = {
    "user": "users", "project": "projects", "task": "tasks", "job": "jobs", "label": "labels",
    "issue": "issues", "comment": "comments", "webhook": "webhooks", "request": "requests",
    "delivery": "webhooks/deliveries", "access_token": "auth/access_tokens",
}  # fmt: skip
WITHOUT_URL = {"issue", "comment", "quality_report", "quality_settings"}
UNUSED = dict.fromkeys(("organization", "organization_id", "target_storage", "source_storage"))


def may_access(store: Store, user: Row, kind: str, row: Row) -> bool:
    """Tell whether a user may use a row: as its owner or assignee, or those of a parent."""
    if user["is_superuser"] or user["id"] in (row.get("owner"), row.get("assignee")):
        return True
    for child_kind, key, parent_kind in PARENTS:
        parent = store.get(parent_kind, row.get(key)) if child_kind == kind else None
        if parent is not None and may_access(store, user, parent_kind, parent):
            return True
    return False


def as_json(store: Store, kind: str, row: Row, base: str) -> Row:
    """Return a row as the API shows it. URLs in it begin with `base`."""
    public = {name: value for name, value in row.items() if not name.startswith("_")}
    users: Row = {n: user_summary(store, row[n], base) for n in ("owner", "assignee") if n in row}
    url = {} if kind in WITHOUT_URL else {"url": f"{base}/api/{PATHS[kind]}/{row['id']}"}
    return {**url, **public, **users, **_computed_fields(store, kind, row, base)}


def user_summary(store: Store, user_id: int | None, base: str) -> Row | None:
    user = store.get("user", user_id)
    if user is None:
        return None
    names = {name: user[name] for name in ("id", "username", "first_name", "last_name")}
    return {"url": f"{base}/api/users/{user_id}", **names}


def job_status(job: Row) -> str:
    """Return a job's `status`, which follows from its stage and state."""
    accepted = "completed" if job["state"] == "completed" else "validation"
    return accepted if job["stage"] == "acceptance" else str(job["stage"])


def frame_numbers(job: Row) -> list[int]:
    """Return the task's frame numbers that a job covers, ascending."""
    return job["_frames"] or list(range(job["start_frame"], job["stop_frame"] + 1))


def _chunk_fields(data: Row) -> Row:
    kinds = {f"data_{q}_chunk_type": data[f"_{q}_type"] for q in ("original", "compressed")}
    return {"data_chunk_size": data["chunk_size"], **kinds}


def _computed_fields(store: Store, kind: str, row: Row, base: str) -> Row:
    """Return the fields that follow from other rows."""

    def link(kind: str, key: str, count: int | None = None) -> Row:
        counted = {} if count is None else {"count": count}
        return {**counted, "url": f"{base}/api/{kind}?{key}={row['id']}"}

    match kind:
        case "project":
            tasks = store.children("task", project_id=row["id"])
            return {
                **UNUSED,
                "status": "annotation",
                "dimension": "2d" if tasks else None,
                "task_subsets": sorted({task["subset"] for task in tasks} - {""}),
                "tasks": link("tasks", "project_id", len(tasks)),
                "labels": link("labels", "project_id"),
            }
        case "task":
            statuses = [job_status(job) for job in store.children("job", task_id=row["id"])]
            counts = {name: statuses.count(name) for name in ("completed", "validation")}
            data, project = store.get("data", row["id"]), store.get("project", row["project_id"])
            size = {n: data[n] for n in ("size", "image_quality")} if data else {}
            return {
                **UNUSED,
                "dimension": "2d",
                "project_name": project and project["name"],
                "jobs": {**link("jobs", "task_id", len(statuses)), **counts},
                "labels": link("labels", "task_id"),
                **({"data": data["id"], **size, **_chunk_fields(data)} if data else {}),
            }
        case "job":
            task = store.existing("task", row["task_id"])
            project = store.get("project", task["project_id"])
            return {
                **UNUSED,
                **{name: task[name] for name in ("project_id", "bug_tracker", "mode")},
                **_chunk_fields(store.existing("data", row["task_id"])),
                "project_name": project and project["name"],
                "task_name": task["name"],
                "dimension": "2d",
                "status": job_status(row),
                "frame_count": len(frame_numbers(row)),
                "issues": link("issues", "job_id", len(store.children("issue", job=row["id"]))),
                "labels": link("labels", "job_id"),
            }
        case "label":
            names = ("id", "name", "color", "attributes", "type", "has_parent")
            below = store.children("label", parent_id=row["id"])
            return {"sublabels": [{name: label[name] for name in names} for label in below]}
        case "request":
            user = store.existing("user", row["owner"])
            target = {"type": "create:task", "target": "task", "task_id": row["task_id"]}
            return {
                "id": row["_rq_id"],
                "owner": {name: user[name] for name in ("id", "username")},
                "progress": float(row["status"] == "finished"),
                "operation": target,
            }
        case "issue":
            count = len(store.children("comment", issue=row["id"]))
            return {"comments": link("comments", "issue_id", count)}
        case "webhook":
            deliveries = store.children("delivery", webhook_id=row["id"])
            return {"last_status": deliveries[-1]["status_code"]} if deliveries else {}
    return {}
