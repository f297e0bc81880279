"""What all things have in common: who may use them, and how they look."""

from __future__ import annotations

from cvat_flows.deployments.sandbox.store import PARENTS, Row, Store

PATHS = {
    "user": "users", "project": "projects", "task": "tasks", "job": "jobs", "label": "labels",
    "issue": "issues", "comment": "comments", "webhook": "webhooks", "request": "requests",
    "delivery": "webhooks/deliveries", "access_token": "auth/access_tokens",
}  # fmt: skip
NOTHING = dict.fromkeys(("organization", "organization_id", "target_storage", "source_storage"))


def may(store: Store, user: Row, kind: str, row: Row) -> bool:
    """The owner and the assignee of a thing may use it and what belongs to it."""
    if user["is_superuser"] or user["id"] in (row.get("owner"), row.get("assignee")):
        return True
    above = ((parent, store.get(parent, row.get(key))) for k, key, parent in PARENTS if k == kind)
    return any(found is not None and may(store, user, parent, found) for parent, found in above)


def view(store: Store, kind: str, row: Row, base: str) -> Row:
    """A thing as JSON; `base` is what URLs begin with."""
    shown = {name: value for name, value in row.items() if not name.startswith("_")}
    people: Row = {n: person(store, row[n], base) for n in ("owner", "assignee") if n in row}
    url = f"{base}/api/{PATHS[kind]}/{row['id']}"
    return {"url": url, **shown, **people, **_more(store, kind, row, base)}


def person(store: Store, user_id: int | None, base: str) -> Row | None:
    user = store.get("user", user_id)
    if user is None:
        return None
    names = {name: user[name] for name in ("id", "username", "first_name", "last_name")}
    return {"url": f"{base}/api/users/{user_id}", **names}


def job_status(job: Row) -> str:
    accepted = "completed" if job["state"] == "completed" else "validation"
    return accepted if job["stage"] == "acceptance" else str(job["stage"])


def numbers(job: Row) -> list[int]:
    """The task's frame numbers that a job covers, ascending."""
    return job["_frames"] or list(range(job["start_frame"], job["stop_frame"] + 1))


def _chunks(data: Row) -> Row:
    kinds = {f"data_{q}_chunk_type": data[f"_{q}_type"] for q in ("original", "compressed")}
    return {"data_chunk_size": data["chunk_size"], **kinds}


def _more(store: Store, kind: str, row: Row, base: str) -> Row:
    """What a thing shows beside its own fields."""

    def link(kind: str, key: str, count: int | None = None) -> Row:
        counted = {} if count is None else {"count": count}
        return {**counted, "url": f"{base}/api/{kind}?{key}={row['id']}"}

    match kind:
        case "project":
            tasks = store.of("task", project_id=row["id"])
            return {
                **NOTHING,
                "status": "annotation",
                "dimension": "2d" if tasks else None,
                "task_subsets": sorted({task["subset"] for task in tasks} - {""}),
                "tasks": link("tasks", "project_id", len(tasks)),
                "labels": link("labels", "project_id"),
            }
        case "task":
            reached = [job_status(job) for job in store.of("job", task_id=row["id"])]
            counts = {name: reached.count(name) for name in ("completed", "validation")}
            data, project = store.get("data", row["id"]), store.get("project", row["project_id"])
            shown = {n: data[n] for n in ("size", "image_quality")} if data else {}
            return {
                **NOTHING,
                "dimension": "2d",
                "project_name": project and project["name"],
                "jobs": {**link("jobs", "task_id", len(reached)), **counts},
                "labels": link("labels", "task_id"),
                **({"data": data["id"], **shown, **_chunks(data)} if data else {}),
            }
        case "job":
            task = store.at("task", row["task_id"])
            project = store.get("project", task["project_id"])
            return {
                **NOTHING,
                **{name: task[name] for name in ("project_id", "bug_tracker", "mode")},
                **_chunks(store.at("data", row["task_id"])),
                "project_name": project and project["name"],
                "task_name": task["name"],
                "dimension": "2d",
                "status": job_status(row),
                "frame_count": len(numbers(row)),
                "issues": link("issues", "job_id", len(store.of("issue", job=row["id"]))),
                "labels": link("labels", "job_id"),
            }
        case "label":
            names = ("id", "name", "color", "attributes", "type", "has_parent")
            below = store.of("label", parent_id=row["id"])
            return {"sublabels": [{name: label[name] for name in names} for label in below]}
        case "request":
            user = store.at("user", row["owner"])
            target = {"type": "create:task", "target": "task", "task_id": row["task_id"]}
            return {
                "id": row["_rq_id"],
                "owner": {name: user[name] for name in ("id", "username")},
                "progress": float(row["status"] == "finished"),
                "operation": target,
            }
        case "issue":
            count = len(store.of("comment", issue=row["id"]))
            return {"comments": link("comments", "issue_id", count)}
        case "webhook":
            sent = store.of("delivery", webhook_id=row["id"])
            return {"last_status": sent[-1]["status_code"]} if sent else {}
    return {}
