"""Read, create and delete CVAT's issues: remarks of people at a place on a frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get_all_pages, get_json, send_json

_FIELDS = ("id", "job", "frame", "position", "resolved", "comments")


@frozen(kw_only=True)
class Issue:
    """An issue, without its comments."""

    id: int
    job_id: int
    frame: int
    position: tuple[float, ...]
    """x, y, x, y ... in pixels."""
    is_resolved: bool
    assignee: str
    """Name of the user to whom it is assigned; "" for nobody."""
    comments: int
    """Number of comments. The first one is the issue's message."""

    @property
    def is_answered(self) -> bool:
        """Whether a person has dealt with it: answered, resolved or assigned it."""
        return self.is_resolved or self.comments > 1 or bool(self.assignee)


@frozen(kw_only=True)
class Comment:
    """A comment on an issue."""

    id: int
    issue_id: int
    message: str


def fetch_issues(
    client: Client, task_id: int, *, organization: int | str | None = None
) -> list[Issue]:
    """Fetch all issues of a task, also resolved ones. Raises CvatRefused and CvatUnavailable."""
    rows = get_all_pages(
        client,
        "/api/issues",
        subject=f"the issues of task {task_id}",
        fields=_FIELDS,
        organization=organization,
        task_id=task_id,
    )
    return [_issue(row) for row in rows]


def fetch_issue(client: Client, issue_id: int) -> Issue | None:
    """Fetch an issue as it is now; None if it was deleted. Raises as `fetch_issues` does."""
    try:
        row = get_json(
            client, f"/api/issues/{issue_id}", subject=f"issue {issue_id}", fields=_FIELDS
        )
    except CvatRefused as error:
        if error.status == 404:
            return None
        raise
    return _issue(row)


def fetch_comments(
    client: Client, job_ids: Collection[int], *, organization: int | str | None = None
) -> Iterator[Comment]:
    """Yield all comments on the issues of some jobs. Raises as `fetch_issues` does."""
    for job_id in sorted(job_ids):
        rows = get_all_pages(
            client,
            "/api/comments",
            subject=f"the comments on the issues of job {job_id}",
            fields=["id", "issue", "message"],
            organization=organization,
            job_id=job_id,
        )
        for row in rows:
            yield Comment(id=row["id"], issue_id=row["issue"], message=str(row["message"]))


def create_issue(
    client: Client, *, job_id: int, frame: int, position: Collection[float], message: str
) -> int:
    """Create an issue with one request, and return its id.

    Raises CvatRefused and CvatUnavailable. After CvatUnavailable CVAT may have created it.
    """
    body = {"job": job_id, "frame": frame, "position": list(position), "message": message}
    subject = f"the issue on frame {frame} of job {job_id}"
    return int(send_json(client, "POST", "/api/issues", body, subject=subject)["id"])


def delete_issue(client: Client, issue_id: int) -> None:
    """Delete an issue, unless it is gone. Raises CvatRefused and CvatUnavailable."""
    try:
        send_json(client, "DELETE", f"/api/issues/{issue_id}", None, subject=f"issue {issue_id}")
    except CvatRefused as error:
        if error.status != 404:
            raise


def _issue(row: Mapping[str, Any]) -> Issue:
    return Issue(
        id=row["id"],
        job_id=row["job"],
        frame=row["frame"],
        position=tuple(map(float, row["position"])),
        is_resolved=bool(row["resolved"]),
        assignee=str((row.get("assignee") or {}).get("username", "")),
        comments=int(row["comments"]["count"]),
    )
