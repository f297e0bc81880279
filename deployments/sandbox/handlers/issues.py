"""Issues of jobs, and comments on them."""

from __future__ import annotations

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import TOO_LOW, Refusal
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
    apply_changes(row, call.fields(), "resolved", "position")
    call.store.save("issue", row)
    return call.answer_row("issue", row)


@router.route("POST", "/api/comments")
def create_comment(call: Call) -> Response:
    fields = call.fields("issue", "message")
    row = _add_comment(call, call.find("issue", fields["issue"])["id"], fields["message"])
    return call.answer_row("comment", row, 201)


def _add_comment(call: Call, issue: int, message: str) -> Row:
    return call.store.add("comment", issue=issue, message=message, owner=call.user["id"])
