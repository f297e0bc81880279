"""Quality reports and settings of tasks, to read. The sandbox does not compute reports."""

from __future__ import annotations

from typing import Any

from cvat_flows.deployments.sandbox.answers import Refusal, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.store import Row

TARGETS = ("job", "task", "project")
DEFAULTS = {
    "target_metric": "accuracy",
    "target_metric_threshold": 0.7,
    "max_validations_per_job": 0,
    "iou_threshold": 0.4,
    "oks_sigma": 0.09,
    "low_overlap_threshold": 0.8,
    "compare_attributes": True,
    "empty_is_annotated": False,
}
"""Settings that every task has."""

router = Router()


@router.route("GET", "/api/quality/reports")
def list_reports(call: Call) -> Row:
    rows = call.accessible("quality_report")
    if "task_id" in call.query:
        task = call.find("task", int(call.query["task_id"]))
        rows = [row for row in rows if row["task_id"] == task["id"]]
    target = call.query.get("target")
    if target is not None and target not in TARGETS:
        raise Refusal(400, [f"Unexpected 'target' filter value '{target}'."])
    return list_page(call, "quality_report", [r for r in rows if target in (None, r["target"])])


@router.route("GET", "/api/quality/reports/{id:int}")
def read_report(call: Call) -> Row:
    return call.as_json("quality_report", call.find("quality_report"))


@router.route("GET", "/api/quality/settings")
def list_settings(call: Call) -> Row:
    tasks = call.accessible("task")
    if "task_id" in call.query:
        tasks = [call.find("task", int(call.query["task_id"]))]
    rows = [{"id": task["id"], "task_id": task["id"], **DEFAULTS} for task in tasks]
    return list_page(call, "quality_settings", rows, oldest_first=True)


@router.route("POST", "/sandbox/quality_reports")
def plant_report(call: Call) -> Any:
    """Add a report of a task, as if CVAT had computed it. Only for the superuser."""
    if not call.user["is_superuser"]:
        raise permission_denied()
    fields = call.fields("task_id", "summary")
    task = call.find("task", fields["task_id"])
    row = call.store.add(
        "quality_report",
        task_id=task["id"],
        job_id=None,
        project_id=task["project_id"],
        parent_id=None,
        target="task",
        summary=fields["summary"],
        assignee=None,
    )
    return call.answer_row("quality_report", row, 201)
