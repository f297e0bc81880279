"""Read CVAT's own quality report of a task, where the server has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get_json
from cvat_flows.tasks.cvat.task import fetch_organization


@frozen(kw_only=True)
class QualityReport:
    """The newest report of CVAT about a task as a whole. None: the server does not say."""

    id: int
    created: str
    """ISO 8601, as CVAT writes it."""
    frames: int | None
    """Frames with ground truth that were compared."""
    accuracy: float | None
    """Right annotations as a share of all annotations, of the task and of the ground truth."""
    precision: float | None
    recall: float | None
    least_iou: float | None
    """How alike two annotations must be to belong together."""
    target_metric: str = ""
    """The figure that the task's quality settings have a target for; "" if there is none."""
    target: float | None = None
    """What that figure should be at least."""

    @property
    def day(self) -> str:
        """The day on which it was made."""
        return self.created[:10]


def fetch_quality_report(client: Client, task_id: int) -> QualityReport | None:
    """Fetch the newest quality report of a task.

    None if there is none, if the server has no quality reports, or if the user may not see them.

    Raises CvatUnavailable.
    """
    try:
        organization = fetch_organization(client, task_id)
        row = _newest(client, "reports", task_id, organization, target="task", sort="-id")
        if row is None:
            return None
    except CvatRefused:
        return None
    try:
        settings = _newest(client, "settings", task_id, organization) or {}
    except CvatRefused:
        settings = {}
    summary = row.get("summary") or {}
    return QualityReport(
        id=row["id"],
        created=str(row.get("created_date") or ""),
        frames=summary.get("validation_frames", summary.get("frame_count")),
        accuracy=_number(summary, "accuracy"),
        precision=_number(summary, "precision"),
        recall=_number(summary, "recall"),
        least_iou=_number(settings, "iou_threshold"),
        target_metric=str(settings.get("target_metric") or ""),
        target=_number(settings, "target_metric_threshold"),
    )


def _newest(
    client: Client, name: str, task_id: int, organization: int | str, **query: Any
) -> Mapping[str, Any] | None:
    content = get_json(
        client,
        f"/api/quality/{name}",
        subject=f"the quality {name} of task {task_id}",
        fields=["results"],
        row_fields=["id"],
        organization=organization,
        task_id=task_id,
        page_size=1,
        **query,
    )
    row: Mapping[str, Any]
    for row in content["results"]:
        return row
    return None


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None
