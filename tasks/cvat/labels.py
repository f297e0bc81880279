"""Fetch labels from CVAT. They are never cached, because they can change."""

from __future__ import annotations

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.http import get_all_pages
from cvat_flows.tasks.model.labels import Label, labels_of_rows


def fetch_labels(
    client: Client,
    *,
    task_id: int | None = None,
    job_id: int | None = None,
    project_id: int | None = None,
) -> tuple[Label, ...]:
    """Fetch the labels of one task, job or project, with attributes and sublabels.

    A task or job in a project has the labels of the project. Raises CvatRefused and
    CvatUnavailable.
    """
    owner = {"task": task_id, "job": job_id, "project": project_id}
    ((kind, number),) = [(kind, number) for kind, number in owner.items() if number is not None]
    rows = get_all_pages(
        client,
        "/api/labels",
        subject=f"the labels of {kind} {number}",
        fields=["id", "name"],
        **{f"{kind}_id": number},
    )
    return labels_of_rows(rows)
