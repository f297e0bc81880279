"""The event that tells Prefect that a CVAT task is ready."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from attrs import frozen

from cvat_flows.tasks.upload.manifest_file import unique_slug

EVENT_NAME = "cvat.task.ready"


@frozen(kw_only=True)
class Announcement:
    """A CVAT task that is ready and has not been annotated yet."""

    task_id: int
    name: str
    frames: int
    url: str
    project_id: int | None
    rule: str
    parameters: dict[str, Any]
    """The parameters of annotate-task."""
    version: str
    """Identifies the function's version and its options."""
    failed_run: str = ""
    """ID of the task's last run if that failed, so that a retry is a new event."""

    @property
    def event_id(self) -> UUID:
        """The same ID for the same announcement, whichever receiver sends it.

        Prefect remembers event IDs for five minutes and ignores repetitions. That covers the time
        until the run exists.
        """
        return uuid5(NAMESPACE_URL, f"{self.url} {self.version} {self.failed_run}")

    def to_event(self, now: datetime | None = None) -> dict[str, Any]:
        """Return the event as the body of `POST /api/events` wants it."""
        now = now or datetime.now(UTC)
        host = self.url.rpartition("/tasks/")[0]
        related = []
        if self.project_id is not None:
            related.append(
                {
                    "prefect.resource.id": f"cvat.project.{server_slug(host)}.{self.project_id}",
                    "prefect.resource.role": "project",
                }
            )
        return {
            "id": str(self.event_id),
            "occurred": now.isoformat(),
            "event": EVENT_NAME,
            "resource": {
                "prefect.resource.id": f"cvat.task.{server_slug(host)}.{self.task_id}",
                "prefect.resource.name": self.name,
                "cvat.task.url": self.url,
            },
            "related": related,
            "payload": {
                "task_id": self.task_id,
                "name": self.name,
                "frames": self.frames,
                "rule": self.rule,
                # The deployment's trigger passes these on to the run.
                "parameters": self.parameters,
            },
        }


def server_slug(server: str) -> str:
    """Return a name for a CVAT server in events, the same for all spellings of its address.

    As in the SDK, an address without a scheme is HTTPS, and a trailing slash has no meaning.
    """
    address = server if "://" in server else f"https://{server}"
    return unique_slug(address.rstrip("/").lower())
