"""Find the CVAT tasks that a sweep has to annotate.

The list of tasks and one small manifest file a task tell it: there is no request to CVAT for each
task, so that a sweep over thousands that are done costs seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import translate
from typing import Any, Literal

from attrs import define, field, frozen
from cvat_sdk import Client

from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.errors import CvatRefused
from cvat_flows.tasks.cvat.http import get_all_pages
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import import_failure_reason
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.upload.manifest_summary import Summary

LABEL_LOOKUPS = 10
"""With more projects and tasks than this, the labels of all are listed instead of each one's."""


class FilterError(CvatFlowsError):
    """A rule's raw CVAT filter is not one that CVAT takes."""


@frozen(kw_only=True)
class ListedTask:
    """A CVAT task as the list shows it."""

    id: int
    name: str
    frames: int
    """0 while there is no data."""
    dimension: str
    project_id: int | None
    updated_date: str
    url: str


State = Literal["new", "done", "waiting", "import failed", "unsupported", "beyond the limit"]


@frozen(kw_only=True)
class Finding:
    """What a sweep found out about a CVAT task."""

    task: ListedTask
    rule: SweepRule
    state: State
    reason: str = ""


@define(kw_only=True)
class Findings:
    """All CVAT tasks that a rule fits, each once, in the order in which they are to be done."""

    found: list[Finding] = field(factory=list)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def of(self, state: State) -> list[Finding]:
        return [one for one in self.found if one.state == state]


IsNew = Callable[[ListedTask], str | None]
"""Why a task is to be annotated; None if it is done."""


def find_new(
    client: Client,
    rule: SweepRule,
    why_new: IsNew,
    *,
    limit: int | None = None,
    only: Collection[int] | None = None,
    without: Collection[int] = (),
) -> Findings:
    """List the tasks that `rule` fits and say which are new.

    `only` and `without` are ids of CVAT tasks: the others are not looked at, these not again.

    Raises CvatRefused, CvatUnavailable, FilterError.
    """
    tasks = [task for task in list_tasks(client, rule, only=only) if task.id not in without]
    tasks = [task for task in tasks if _named(rule, task)]
    if rule.labels and tasks:
        tasks = _with_labels(client, rule.labels, tasks)
    failures: Mapping[int, str] = {}
    if any(not task.frames for task in tasks):
        failures = failed_imports(client)
    room = min((n for n in (rule.limit, limit) if n is not None), default=None)
    findings = Findings()
    for task in tasks:
        state: State
        if not task.frames:
            failure = failures.get(task.id)
            state, reason = ("import failed", failure) if failure else ("waiting", "no data yet")
        elif task.dimension == "3d":
            state, reason = "unsupported", "3D point clouds"
        else:
            why = why_new(task)
            state, reason = ("new", why) if why else ("done", "")
            if why and room is not None:
                state = "new" if room > 0 else "beyond the limit"
                room -= 1
        findings.found.append(Finding(task=task, rule=rule, state=state, reason=reason))
    return findings


def list_tasks(
    client: Client, rule: SweepRule, *, only: Collection[int] | None = None
) -> Iterator[ListedTask]:
    """CVAT tasks by the conditions that CVAT itself can check, in the rule's order."""
    condition = task_filter(rule, only=only)
    host = client.api_map.host
    try:
        for row in get_all_pages(
            client,
            "/api/tasks",
            subject="the list of tasks",
            sort="id" if rule.order == "oldest" else "-id",
            filter=json.dumps(condition) if condition else None,
        ):
            yield ListedTask(
                id=row["id"],
                name=row["name"],
                frames=(row.get("size") or 0) if row.get("data_chunk_size") else 0,
                dimension=str(row.get("dimension") or "2d"),
                project_id=row.get("project_id"),
                updated_date=str(row.get("updated_date") or ""),
                url=f"{host}/tasks/{row['id']}",
            )
    except CvatRefused as error:
        if error.status == 400 and rule.filter:
            raise FilterError(f"rule {rule}: CVAT does not take its filter: {error}") from error
        raise


def task_filter(rule: SweepRule, *, only: Collection[int] | None = None) -> dict[str, Any] | None:
    """The rule's conditions as CVAT's JSON logic; None if it has none. Raises FilterError."""
    every: list[dict[str, Any]] = []
    if only is not None:
        every.append({"in": [{"var": "id"}, sorted(only)]})
    if rule.projects:
        names = [_is("project_name", name) for name in rule.projects]
        ids = [_is("project_id", int(name)) for name in rule.projects if name.isdecimal()]
        every.append(_either([*names, *ids]))
    for variable, values in (
        ("subset", rule.subsets),
        ("assignee", rule.assignees),
        ("status", rule.statuses),
    ):
        if values:
            every.append(_either([_is(variable, value) for value in values]))
    if rule.filter:
        every.append(_raw_filter(rule))
    if not every:
        return None
    return every[0] if len(every) == 1 else {"and": every}


def why_new(
    summary: Summary | None,
    *,
    frames: int,
    fingerprint: str,
    options: str,
    again_when: Collection[str],
) -> str | None:
    """Why a task of `frames` frames has to be annotated, going by its manifest's summary.

    None if nothing is left to do. Frames that somebody has undone count as done: a nightly sweep
    must not bring back what a person took out.
    """
    if summary is None:
        return "never annotated"
    if summary.frames != frames:
        return f"{frames:,} frames, were {summary.frames:,}" if "frames" in again_when else None
    undone = summary.states.get("undone", 0)
    failed = summary.states.get("failed", 0)
    same = sum(n for key, n in summary.done.items() if key.startswith(f"{fingerprint} {options}"))
    other = sum(summary.done.values()) - same
    left = frames - summary.skipped - same - undone
    if other and "function" in again_when:
        return f"{other:,} frames done with another version or other options"
    left -= other
    if left > failed:
        return f"{left - failed:,} frames left"
    if left > 0 and "failed" in again_when:
        return f"{left:,} failed frames"
    return None


def failed_imports(client: Client) -> dict[int, str]:
    """Why CVAT could not import the data of tasks, by task; as long as CVAT remembers it.

    Only the imports that this user may see: CVAT shows others' to administrators alone.
    """
    failures = {}
    for row in get_all_pages(
        client,
        "/api/requests",
        subject="the list of imports",
        status="failed",
        action="create",
        target="task",
    ):
        operation = row.get("operation") or {}
        task_id = operation.get("task_id")
        if task_id is not None and str(operation.get("type", "")).startswith("create"):
            failures[int(task_id)] = import_failure_reason(row)
    return failures


def _named(rule: SweepRule, task: ListedTask) -> bool:
    if rule.task_name is None:
        return True
    return re.match(translate(rule.task_name.lower()), task.name.lower()) is not None


def _with_labels(
    client: Client, wanted: Sequence[str], tasks: list[ListedTask]
) -> list[ListedTask]:
    labels = _labels_by_owner(client, {_owner(task) for task in tasks})
    return [task for task in tasks if labels.get(_owner(task), frozenset()).issuperset(wanted)]


def _owner(task: ListedTask) -> tuple[str, int]:
    """Labels belong to the project, if the task is in one."""
    if task.project_id is not None:
        return ("project_id", task.project_id)
    return ("task_id", task.id)


def _labels_by_owner(
    client: Client, owners: set[tuple[str, int]]
) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    if len(owners) > LABEL_LOOKUPS:
        for row in get_all_pages(client, "/api/labels", subject="the list of labels"):
            for kind in ("project_id", "task_id"):
                if row.get(kind) is not None:
                    found.setdefault((kind, row[kind]), set()).add(row["name"])
        return found
    for kind, number in sorted(owners):
        found[kind, number] = {label.name for label in fetch_labels(client, **{kind: number})}
    return found


def _is(variable: str, value: str | int) -> dict[str, Any]:
    return {"==": [{"var": variable}, value]}


def _either(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return conditions[0] if len(conditions) == 1 else {"or": conditions}


def _raw_filter(rule: SweepRule) -> dict[str, Any]:
    try:
        condition = json.loads(rule.filter or "")
    except ValueError as error:
        raise FilterError(f"rule {rule}: its filter is no JSON ({error})") from error
    if not isinstance(condition, dict) or not condition:
        raise FilterError(
            f"rule {rule}: its filter is no JSON logic, for example "
            '{"==": [{"var": "status"}, "annotation"]}'
        )
    return condition
