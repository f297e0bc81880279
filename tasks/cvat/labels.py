"""Fetch a CVAT task's labels. Never cached: labels change."""

from __future__ import annotations

from cvat_sdk import Client
from cvat_sdk.core.helpers import get_paginated_collection

from cvat_flows.tasks.cvat.errors import cvat_errors
from cvat_flows.tasks.model.labels import Label, labels_of_task


def fetch_labels(client: Client, task_id: int) -> tuple[Label, ...]:
    """Labels of the task (its project's, if it has one) with attributes and sublabels.

    Raises CvatRefused and CvatUnavailable.
    """
    with cvat_errors(f"the labels of task {task_id}"):
        return labels_of_task(
            get_paginated_collection(
                client.api_client.labels_api.list_endpoint, task_id=task_id, page_size=500
            )
        )
