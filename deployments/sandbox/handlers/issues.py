"""Issues of jobs, and comments on them."""

from __future__ import annotations

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import TOO_LOW, Refusal, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.changes import apply_changes
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.store import Row

router = Router()


@router.route("GET", "/api/issues")
def list_issues(call: Call) -> Row:
    rows = call.accessible("issue")
    if "task_id" in call.query:
        jobs = call.store.children("job", task_id=int(call.query["task_id"]))
        job_ids = {job["id"] for job in jobs}
        rows = [row for row in rows if row["job"] in job_ids]
    return list_page(call, "issue", rows)


@router.route("POST", "/api/issues")
def create_issue(call: Call) -> Response:
    fields = call.fields("job", "frame", "position", "message")
    fields["message"] = fields["message"].strip()  # as CVAT stores texts
    if fields["frame"] < 0:
        raise Refusal(400, {"frame": TOO_LOW})
    if call.store.get("job", fields["job"]) is None:
        raise Refusal(400, ["Job matching query does not exist."])
    call.find("job", fields["job"])
    kept = {name: fields[name] for name in ("job", "frame", "position")}
    row = call.store.add("issue", **kept, owner=call.user["id"], assignee=None, resolved=False)
    _add_comment(call, row["id"], fields["message"])
    return call.answer_row("issue", row, 201)


@router.route("PATCH", "/api/issues/{id:int}")
def update_issue(call: Call) -> Response:
    row = call.find("issue")
    apply_changes(row, call.fields(), "resolved", "position", "assignee")
    call.store.save("issue", row)
    return call.answer_row("issue", row)


@router.route("DELETE", "/api/issues/{id:int}")
def delete_issue(call: Call) -> None:
    """Delete an issue. The assignee of its job may delete only his own."""
    row = call.find("issue")
    task = call.store.existing("job", row["job"])["task_id"]
    is_own = row["owner"] == call.user["id"]
    if not is_own and not call.may_access("task", call.store.existing("task", task)):
        raise permission_denied()
    call.store.delete("issue", row)


@router.route("GET", "/api/comments")
def list_comments(call: Call) -> Row:
    rows = call.accessible("comment")
    for key, field in (("job_id", "job"), ("frame_id", "frame")):
        if key in call.query:
            wanted = int(call.query[key])
            rows = [r for r in rows if call.store.existing("issue", r["issue"])[field] == wanted]
    return list_page(call, "comment", rows)


@router.route("POST", "/api/comments")
def create_comment(call: Call) -> Response:
    fields = call.fields("issue", "message")
    row = _add_comment(call, call.find("issue", fields["issue"])["id"], fields["message"].strip())
    return call.answer_row("comment", row, 201)


@router.route("PATCH", "/api/comments/{id:int}")
def update_comment(call: Call) -> Response:
    row = call.find("comment")
    apply_changes(row, call.fields(), "message")
    call.store.save("comment", row)
    return call.answer_row("comment", row)


def _add_comment(call: Call, issue: int, message: str) -> Row:
    return call.store.add("comment", issue=issue, message=message, owner=call.user["id"])
