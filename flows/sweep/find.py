"""Find the CVAT tasks that a sweep must annotate.

CVAT's list of tasks and one small manifest file for each task are enough to decide. A sweep sends
no request to CVAT for each task, so thousands of finished tasks take only seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.flows.sweep.listing import ListedTask, failed_imports, list_tasks
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.upload.manifest_summary import Summary

State = Literal["new", "done", "waiting", "import failed", "unsupported", "beyond the limit"]


@frozen(kw_only=True)
class Finding:
    """The state of a CVAT task that fits a rule."""

    task: ListedTask
    rule: SweepRule
    state: State
    reason: str = ""


RESTORED = "older than its record: restored from a backup, or a copy"

WhyNew = Callable[[ListedTask], str | None]
"""Returns why a task must be annotated; None if it is done."""


def find_new(
    client: Client,
    rule: SweepRule,
    why_new: WhyNew,
    *,
    limit: int | None = None,
    only: Collection[int] | None = None,
    exclude: Collection[int] = (),
) -> list[Finding]:
    """List the tasks that fit the rule, in the rule's order, and decide which are new.

    Args:
        limit: Maximum number of new tasks. The others are "beyond the limit".
        only: Consider only tasks with these ids.
        exclude: Consider no tasks with these ids.

    Raises:
        FilterError: CVAT does not accept the rule's filter.
        CvatRefused: CVAT refused a request.
        CvatUnavailable: CVAT did not answer.
    """
    tasks = list_tasks(client, rule, only=only, exclude=exclude)
    failures: Mapping[int, str] = {}
    if any(not task.frames for task in tasks):
        failures = failed_imports(client)
    remaining = min((n for n in (rule.limit, limit) if n is not None), default=None)
    findings = []
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
            if why and remaining is not None:
                state = "new" if remaining > 0 else "beyond the limit"
                remaining -= 1
        findings.append(Finding(task=task, rule=rule, state=state, reason=reason))
    return findings


def why_new(
    summary: Summary | None,
    *,
    frames: int,
    fingerprint: str,
    options: str,
    again_when: Collection[str],
) -> str | None:
    """Return why a task must be annotated; None if nothing is left to do.

    Undone frames count as done: a sweep must not bring back what a person deleted.

    Args:
        summary: Summary of the task's manifest; None if there is no manifest.
        frames: Number of frames in the task now.
        fingerprint: Fingerprint of the rule's function.
        options: Digest of the rule's options.
        again_when: The rule's reasons to annotate a task again.
    """
    if summary is None:
        return "never annotated"
    if summary.frames != frames:
        change = f"{counted(frames, 'frame')}, before: {summary.frames:,}"
        return change if "frames" in again_when else None
    undone = summary.states.get("undone", 0)
    failed = summary.states.get("failed", 0)
    same = sum(n for key, n in summary.done.items() if key.startswith(f"{fingerprint} {options}"))
    other = sum(summary.done.values()) - same
    left = frames - summary.skipped - same - undone
    if other and "function" in again_when:
        return f"{counted(other, 'frame')} done with another version or other options"
    left -= other
    if left > failed:
        return f"{counted(left - failed, 'frame')} left"
    if left > 0 and "failed" in again_when:
        return counted(left, "failed frame")
    return None
