"""Create CVAT issues on frames, once each, and remove those that nobody has answered.

CVAT has no request that creates an issue only once. So issues are read before and after, on every
machine in the same way: nothing depends on a file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import RetryPolicy, Wait, write_policy
from cvat_flows.tasks.cvat.issues import (
    Issue,
    create_issue,
    delete_issue,
    fetch_comments,
    fetch_issue,
    fetch_issues,
)
from cvat_flows.tasks.cvat.task import fetch_organization
from cvat_flows.tasks.evaluate.corrections import RankedFrame
from cvat_flows.tasks.evaluate.queue.marker import (
    is_our_message,
    is_our_place,
    message_of,
    position_of,
)
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted

MAX_ATTEMPTS = 3
"""Requests for one issue, as long as none is answered and the issue does not appear."""


@frozen(kw_only=True)
class MadeIssues:
    """What became of the frames on which issues were wanted."""

    created: tuple[int, ...] = ()
    """Frames with a new issue."""
    open: tuple[int, ...] = ()
    """Frames that had one already."""
    resolved: tuple[int, ...] = ()
    """Frames whose issue people have resolved. They get no other one."""
    copies: int = 0
    """Issues that were there twice and were removed."""

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        parts = [
            f"{counted(len(self.created), 'issue')} created",
            f"{len(self.open):,} already there",
            f"{len(self.resolved):,} resolved by people and not created again",
        ]
        if self.copies:
            parts.append(f"{counted(self.copies, 'copy', 'copies')} removed")
        return ", ".join(parts)


@frozen(kw_only=True)
class RemovedIssues:
    """What became of our issues of a task."""

    removed: tuple[int, ...] = ()
    """Frames whose issue was removed."""
    kept: tuple[int, ...] = ()
    """Frames whose issue people have answered, resolved or assigned."""


def make_issues(
    client: Client,
    media: TaskMedia,
    frames: Sequence[RankedFrame],
    *,
    function: str,
    wait: Wait = time.sleep,
    policy: RetryPolicy | None = None,
) -> MadeIssues:
    """Create an issue on each of the frames that never had one of ours.

    Args:
        client: The CVAT server.
        media: The task.
        frames: The frames. Their reasons are the message.
        function: Name of the function that the message names.
        wait: Waits some seconds, before a request is repeated.
        policy: How long CVAT may take. By default as for annotations.

    Raises:
        CvatRefused: CVAT refuses an issue, or its list.
        CvatUnavailable: CVAT stays unavailable. Another run creates the rest.
    """
    policy = policy or write_policy()
    before = find_issues(client, media)
    known = {issue.frame for issue in before}
    created, doubtful = [], False
    for one in frames:
        if one.frame not in known:
            doubtful |= _create(client, media, one, function=function, wait=wait, policy=policy)
            created.append(one.frame)
    if doubtful:
        wait(policy.request_lifetime)  # a request without an answer may be carried out that late
    wanted = {one.frame for one in frames} & known
    resolved = {issue.frame for issue in before if issue.is_resolved} & wanted
    return MadeIssues(
        created=tuple(created),
        open=tuple(sorted(wanted - resolved)),
        resolved=tuple(sorted(resolved)),
        copies=_remove_copies(client, find_issues(client, media) if created else before),
    )


def remove_issues(client: Client, media: TaskMedia, *, dry_run: bool = False) -> RemovedIssues:
    """Remove our issues of a task that nobody has answered, resolved or assigned.

    Raises CvatRefused and CvatUnavailable.
    """
    removed: set[int] = set()
    kept: set[int] = set()
    for issue in find_issues(client, media):
        is_gone = not issue.is_answered if dry_run else _remove(client, issue)
        (removed if is_gone else kept).add(issue.frame)
    return RemovedIssues(removed=tuple(sorted(removed - kept)), kept=tuple(sorted(kept)))


def find_issues(client: Client, media: TaskMedia) -> list[Issue]:
    """Return our issues of a task, also resolved ones. Raises CvatRefused and CvatUnavailable."""
    organization = fetch_organization(client, media.task_id)
    issues = fetch_issues(client, media.task_id, organization=organization)
    here = {issue.id: issue for issue in issues if is_our_place(media, issue)}
    jobs = {issue.job_id for issue in here.values()}
    first: dict[int, tuple[int, str]] = {}
    for one in fetch_comments(client, jobs, organization=organization):
        if one.issue_id in here:
            comment = (one.id, one.message)
            first[one.issue_id] = min(first.get(one.issue_id, comment), comment)
    return [
        here[issue_id]
        for issue_id, (_, message) in sorted(first.items())
        if is_our_message(media, here[issue_id].frame, message)
    ]


def _create(
    client: Client,
    media: TaskMedia,
    one: RankedFrame,
    *,
    function: str,
    wait: Wait,
    policy: RetryPolicy,
) -> bool:
    """Create an issue, and return whether a request for it had no answer."""
    attempt = 0
    while True:
        attempt += 1
        try:
            create_issue(
                client,
                job_id=media.frame(one.frame).job_ids[0],
                frame=one.frame,
                position=position_of(media, one.frame),
                message=message_of(media, one.frame, one.reasons, function),
            )
            return attempt > 1
        except CvatUnavailable:
            if attempt == MAX_ATTEMPTS:
                raise
            wait(policy.wait(attempt, None))
        if any(issue.frame == one.frame for issue in find_issues(client, media)):
            return True


def _remove_copies(client: Client, issues: Iterable[Issue]) -> int:
    """Leave one issue on each frame: the first, or those that people have answered.

    Two machines that do this at once keep the same one.
    """
    seen: set[int] = set()
    removed = 0
    for issue in sorted(issues, key=lambda one: (not one.is_answered, one.id)):
        if issue.frame in seen:
            removed += _remove(client, issue)
        seen.add(issue.frame)
    return removed


def _remove(client: Client, issue: Issue) -> bool:
    """Remove an issue, unless a person has answered it by now. Return whether it is gone."""
    now = fetch_issue(client, issue.id)
    if now is not None and now.is_answered:
        return False
    if now is not None:
        delete_issue(client, issue.id)
    return True
