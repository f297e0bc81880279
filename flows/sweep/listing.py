"""List the CVAT tasks that fit a rule.

CVAT itself checks most conditions, so a sweep over thousands of tasks needs few requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from fnmatch import translate
from typing import Any

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get_all_pages
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import TASK_FIELDS, import_failure_reason
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import TaskIdentity, identity_of_row, parse_date

MAX_LABEL_REQUESTS = 10
"""If more projects and tasks own labels, one request lists all labels instead."""
MAX_IDS_PER_REQUEST = 250
"""The ids are part of a request's address, whose length is limited."""


class FilterError(CvatFlowsError):
    """CVAT does not accept the filter of a rule."""


@frozen(kw_only=True)
class ListedTask:
    """A CVAT task as CVAT's list shows it."""

    identity: TaskIdentity
    updated: datetime
    """When the task or its annotations were last changed, by CVAT's clock."""
    name: str
    frames: int
    """0 if the task has no data yet."""
    dimension: str
    project_id: int | None
    url: str

    @property
    def id(self) -> int:
        return self.identity.task_id


def list_tasks(
    client: Client,
    rule: SweepRule,
    *,
    only: Collection[int] | None = None,
    exclude: Collection[int] = (),
) -> list[ListedTask]:
    """List the tasks that fit the rule, in the rule's order.

    Args:
        only: List only tasks with these ids.
        exclude: List no tasks with these ids.

    Raises:
        FilterError: CVAT does not accept the rule's filter.
        CvatRefused: CVAT refused the request.
        CvatUnavailable: CVAT did not answer.
    """
    tasks = [
        task
        for part in _parts(rule, only, exclude)
        for task in _filtered_tasks(client, rule, part)
        if task.id not in exclude and _fits_name(rule, task)
    ]
    if not (rule.labels and tasks):
        return tasks
    labels = _labels_by_owner(client, {_label_owner(task) for task in tasks})
    wanted = set(map(canonical, rule.labels))
    return [task for task in tasks if labels.get(_label_owner(task), set()) >= wanted]


def task_filter(rule: SweepRule, *, only: Collection[int] | None = None) -> dict[str, Any] | None:
    """Return the conditions as CVAT's JSON logic; None if there are none. Raises FilterError."""
    conditions: list[dict[str, Any]] = []
    if only is not None:
        conditions.append({"in": [{"var": "id"}, sorted(only)]})
    if rule.projects:
        names = [_equals("project_name", name) for name in rule.projects]
        ids = [_equals("project_id", int(name)) for name in rule.projects if name.isdecimal()]
        conditions.append(_any_of([*names, *ids]))
    for variable, values in (
        ("subset", rule.subsets),
        ("assignee", rule.assignees),
        ("status", rule.statuses),
    ):
        if values:
            conditions.append(_any_of([_equals(variable, value) for value in values]))
    if rule.filter:
        conditions.append(_raw_filter(rule))
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else {"and": conditions}


def failed_imports(client: Client) -> dict[int, str]:
    """Return, by task id, why CVAT could not import tasks' data.

    CVAT forgets failures after a while, and shows those of other users only to administrators.
    """
    failures = {}
    for row in get_all_pages(
        client,
        "/api/requests",
        subject="the list of imports",
        fields=["status", "operation"],
        status="failed",
        action="create",
        target="task",
    ):
        operation = row.get("operation") or {}
        task_id = operation.get("task_id")
        if task_id is not None and str(operation.get("type", "")).startswith("create"):
            failures[int(task_id)] = import_failure_reason(row)
    return failures


def _parts(
    rule: SweepRule, only: Collection[int] | None, exclude: Collection[int]
) -> list[list[int] | None]:
    """Divide the ids into requests, in the rule's order. [None] is one request without ids."""
    if only is None:
        return [None]
    ids = sorted(set(only).difference(exclude), reverse=rule.order == "newest")
    return [ids[n : n + MAX_IDS_PER_REQUEST] for n in range(0, len(ids), MAX_IDS_PER_REQUEST)]


def _filtered_tasks(
    client: Client, rule: SweepRule, only: Collection[int] | None
) -> Iterator[ListedTask]:
    condition = task_filter(rule, only=only)
    host = client.api_map.host
    try:
        for row in get_all_pages(
            client,
            "/api/tasks",
            subject="the list of tasks",
            fields=TASK_FIELDS,
            sort="id" if rule.order == "oldest" else "-id",
            filter=json.dumps(condition) if condition else None,
        ):
            yield ListedTask(
                identity=identity_of_row(row),
                updated=parse_date(row["updated_date"]),
                name=row["name"],
                frames=(row.get("size") or 0) if row.get("data_chunk_size") else 0,
                dimension=str(row.get("dimension") or "2d"),
                project_id=row.get("project_id"),
                url=f"{host}/tasks/{row['id']}",
            )
    except CvatRefused as error:
        if error.status == 400 and rule.filter:
            raise FilterError(f"rule {rule}: CVAT does not accept its filter: {error}") from error
        raise


def _fits_name(rule: SweepRule, task: ListedTask) -> bool:
    if rule.task_name is None:
        return True
    return re.match(translate(rule.task_name.lower()), task.name.lower()) is not None


_LabelOwner = tuple[str, int]


def _label_owner(task: ListedTask) -> _LabelOwner:
    """Return what owns the task's labels: its project, or the task if it is in no project."""
    if task.project_id is not None:
        return ("project_id", task.project_id)
    return ("task_id", task.id)


def _labels_by_owner(client: Client, owners: set[_LabelOwner]) -> dict[_LabelOwner, set[str]]:
    found: dict[_LabelOwner, set[str]] = {}
    if len(owners) > MAX_LABEL_REQUESTS:
        for row in get_all_pages(
            client, "/api/labels", subject="the list of labels", fields=["name"]
        ):
            for kind in ("project_id", "task_id"):
                if row.get(kind) is not None:
                    found.setdefault((kind, row[kind]), set()).add(canonical(row["name"]))
        return found
    for kind, number in sorted(owners):
        found[kind, number] = {
            canonical(label.name) for label in fetch_labels(client, **{kind: number})
        }
    return found


def _equals(variable: str, value: str | int) -> dict[str, Any]:
    return {"==": [{"var": variable}, value]}


def _any_of(conditions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return conditions[0] if len(conditions) == 1 else {"or": [*conditions]}


def _raw_filter(rule: SweepRule) -> dict[str, Any]:
    try:
        condition = json.loads(rule.filter or "")
    except ValueError as error:
        raise FilterError(f"rule {rule}: its filter is not JSON ({error})") from error
    if not isinstance(condition, dict) or not condition:
        raise FilterError(
            f"rule {rule}: its filter is not JSON logic, for example "
            '{"==": [{"var": "status"}, "annotation"]}'
        )
    return condition
