"""Find the CVAT tasks that a sweep must annotate.

CVAT's list of tasks and one small manifest file for each task are enough to decide. A sweep sends
no request to CVAT for each task, so thousands of finished tasks take only seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.sweep.listing import ListedTask, failed_imports, list_tasks
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.failures import MAX_EQUAL_FAILURES, TRY_AGAIN
from cvat_flows.tasks.record.manifest_summary import Summary

State = Literal[
    "new",
    "done",
    "set aside",
    "held back",
    "waiting",
    "import failed",
    "unsupported",
    "beyond the limit",
]


@frozen(kw_only=True)
class Finding:
    """The state of a CVAT task that fits a rule."""

    task: ListedTask
    rule: SweepRule
    state: State
    reason: str = ""
    renew: bool = False
    """See `Verdict.renew`."""

    def parameters(self, *, server: str | None) -> AnnotateTaskParameters:
        """Return the parameters for annotating the task."""
        return self.rule.for_task(self.task.id, server=server, renew=self.renew)


RESTORED = "older than its record: restored from a backup, or a copy"


@frozen(kw_only=True)
class Verdict:
    """Whether a task must be annotated, and why."""

    state: Literal["new", "done", "set aside", "held back"]
    """Set aside: all that is left are frames that are not tried again. Held back: the function is
    not as good as the rule wants."""
    reason: str = ""
    renew: bool = False
    """Whether frames that another version has annotated must be annotated again."""


Judge = Callable[[ListedTask], Verdict]
VersionJudge = Callable[[Collection[str]], tuple[bool, str]]
"""Says whether the function is better than all versions `fingerprint parameters`, and why."""


def find_new(
    client: Client,
    rule: SweepRule,
    judge: Judge,
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
        renew = False
        if not task.frames:
            failure = failures.get(task.id)
            state, reason = ("import failed", failure) if failure else ("waiting", "no data yet")
        elif task.dimension == "3d":
            state, reason = "unsupported", "3D point clouds"
        else:
            verdict = judge(task)
            state, reason, renew = verdict.state, verdict.reason, verdict.renew
            if state == "new" and remaining is not None:
                state = "new" if remaining > 0 else "beyond the limit"
                remaining -= 1
        findings.append(Finding(task=task, rule=rule, state=state, reason=reason, renew=renew))
    return findings


def judge(
    summary: Summary | None,
    *,
    frames: int,
    fingerprint: str,
    options: str,
    again_when: Collection[str],
    is_better: VersionJudge | None = None,
) -> Verdict:
    """Decide from the summary of a task's manifest whether the task must be annotated.

    Undone frames count as done: a sweep must not bring back what a person deleted.

    Args:
        summary: Summary of the task's manifest; None if there is no manifest.
        frames: Number of frames in the task now.
        fingerprint: Fingerprint of the rule's function.
        options: Digest of the rule's options.
        again_when: The rule's reasons to annotate a task again.
        is_better: Compares the function with other versions, for the reason `better`.
    """
    if summary is None:
        return _new("never annotated")
    if summary.frames != frames:
        change = f"{counted(frames, 'frame')}, before: {summary.frames:,}"
        return _new(change) if "frames" in again_when else Verdict(state="done")

    own_version = f"{fingerprint} {options}"

    def count_same(by_version: Mapping[str, int]) -> int:
        return sum(n for version, n in by_version.items() if version.startswith(own_version))

    undone = summary.states.get("undone", 0)
    failed = summary.states.get("failed", 0)
    same = count_same(summary.done)
    other = sum(summary.done.values()) - same
    left = frames - summary.skipped - same - undone
    if other and "function" in again_when:
        return _new(f"{counted(other, 'frame')} done with another version or other options")
    kept = ""
    if other and is_better is not None:
        versions = {one for one in summary.done if not one.startswith(own_version)}
        better, reason = is_better(versions)
        if better:
            why = f"{counted(other, 'frame')} done with another version or other options: {reason}"
            return Verdict(state="new", reason=why, renew=True)
        kept = reason
    left -= other
    set_aside = count_same(summary.set_aside)
    if left > failed:
        return _new(f"{counted(left - failed, 'frame')} left")
    if left > set_aside and "failed" in again_when:
        return _new(counted(left - set_aside, "failed frame"))
    if set_aside:
        how_often = f"failed {MAX_EQUAL_FAILURES} times in the same way"
        reason = f"{counted(set_aside, 'frame')} {how_often}; {TRY_AGAIN}"
        return Verdict(state="set aside", reason=reason)
    return Verdict(state="done", reason=kept)


def _new(reason: str) -> Verdict:
    return Verdict(state="new", reason=reason)
