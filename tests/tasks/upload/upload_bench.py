"""A CVAT task, and helpers to upload to it, to read it and to edit it as a person."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from attrs import define, evolve
from cvat_sdk import Client
from cvat_sdk.core.helpers import make_request_headers

from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import FolderStorage
from cvat_flows.tasks.upload.frames.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.job import upload_job
from cvat_flows.tasks.upload.rounds import upload_in_rounds
from tests.support.fault_proxy import FaultProxy
from tests.support.identity import identity_of

SHORT_WAITS = RetryPolicy(
    connect_timeout=60.0,
    read_timeout=60.0,
    first_wait=0.005,
    max_wait=0.05,
    give_up_after=300.0,
    wait_after_timeout=0.05,
    request_lifetime=0.2,
)
"""Short waits, but long timeouts: a slow machine must not look like a fault of CVAT."""


@define(kw_only=True)
class Bench:
    """A CVAT task, and helpers to upload to it, to read it and to edit it."""

    client: Client
    task: Any
    storage: FolderStorage
    jobs: list[Any]
    labels: dict[str, int]
    attributes: dict[str, int]

    @property
    def identity(self) -> TaskIdentity:
        return identity_of(self.task)

    def box(self, frame: int, x: float = 1.0, **extra: Any) -> Annotation:
        return Annotation(
            type="rectangle",
            label_id=self.labels["car"],
            frame=frame,
            points=(x, 2.0, x + 10, 12.5),
            **extra,
        )

    def tag(self, frame: int) -> Annotation:
        return Annotation(type="tag", label_id=self.labels["sunny"], frame=frame)

    def pose(self, frame: int, **of_head: Any) -> Annotation:
        head = {"type": "points", "label_id": self.labels["head"], "frame": frame, **of_head}
        tail = Annotation(
            type="points", label_id=self.labels["tail"], frame=frame, points=(5.0, 5.0)
        )
        return Annotation(
            type="skeleton",
            label_id=self.labels["pose"],
            frame=frame,
            elements=(Annotation(points=(2.0, 2.0), **head), tail),
        )

    def frame(self, number: int) -> Frame:
        jobs = [j for j in self.jobs if j.start_frame <= number <= j.stop_frame]
        return Frame(
            number=number,
            name=f"img_{number:04d}.jpg",
            width=64,
            height=48,
            chunk=0,
            job_ids=tuple(job.id for job in jobs),
        )

    def outcome(self, number: int, *annotations: Annotation) -> Outcome:
        return Outcome(
            frame=self.frame(number), annotations=annotations, content_hash=f"{number:064x}"
        )

    def failed(self, number: int) -> Outcome:
        failure = Failure(step="detect", error="no luck", error_type="RuntimeError")
        return Outcome(frame=self.frame(number), failure=failure)

    def manifest(self, run: str = "run-1", function: str = "f", **stamp: str) -> Manifest:
        return Manifest(
            self.storage,
            task=self.identity,
            function=function,
            run=RunStamp(id=run, **{"fingerprint": "v1", "parameters": "p", **stamp}),
        )

    def upload(
        self,
        *outcomes: Outcome,
        job: int = 0,
        run: str = "run-1",
        client: Client | None = None,
        manifest: Manifest | None = None,
        **options: Any,
    ) -> UploadReport:
        """Upload to a job, in as many rounds as it takes. Returns the sum of the reports."""

        def upload(job_id: int, frames: Collection[int] | None) -> UploadReport:
            chosen = [o for o in outcomes if frames is None or o.frame.number in frames]
            return self.upload_once(
                *chosen, job=job, run=run, client=client, manifest=manifest, **options
            )

        reports = list(upload_in_rounds([self.jobs[job].id], upload))
        return evolve(
            reports[0],
            frames=tuple(frame for report in reports for frame in report.frames),
            failed=tuple(outcome for report in reports for outcome in report.failed),
            requests=sum(report.requests for report in reports),
            doubtful=sum(report.doubtful for report in reports),
        )

    def upload_once(
        self,
        *outcomes: Outcome,
        job: int = 0,
        run: str = "run-1",
        client: Client | None = None,
        manifest: Manifest | None = None,
        **options: Any,
    ) -> UploadReport:
        """Upload to a job, without waiting for the outcome of unanswered requests."""
        return upload_job(
            client or self.client,
            task_id=self.task.id,
            job_id=self.jobs[job].id,
            outcomes=outcomes,
            manifest=manifest or self.manifest(run),
            options=UploadOptions(**{"retry_policy": SHORT_WAITS, **options}),
        )

    def annotations(self, job: int | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return the tags, shapes and tracks of a job, or of the task."""
        target = self.task if job is None else self.jobs[job]
        kind = "tasks" if job is None else "jobs"
        api = self.client.api_client
        response = api.rest_client.GET(
            f"{self.client.api_map.host}/api/{kind}/{target.id}/annotations",
            headers=make_request_headers(api),
        )
        content: dict[str, list[dict[str, Any]]] = json.loads(response.data)
        return content

    def frames(self, kind: str = "shapes", job: int | None = None) -> list[int]:
        return sorted(item["frame"] for item in self.annotations(job)[kind])

    def add(self, *annotations: Annotation, job: int = 0, **extra: Any) -> list[dict[str, Any]]:
        """A person draws."""
        shapes = [{**annotation_to_json(a), "source": "manual", **extra} for a in annotations]
        made: list[dict[str, Any]] = self.change("create", {"shapes": shapes}, job)["shapes"]
        return made

    def edit(self, shape: dict[str, Any], job: int = 0, **changes: Any) -> None:
        """A person changes a shape."""
        self.change("update", {"shapes": [{**shape, **changes}]}, job)

    def remove(self, shape: dict[str, Any], job: int = 0) -> None:
        """A person deletes a shape."""
        self.change("delete", {"shapes": [shape]}, job)

    def change(self, action: str, body: dict[str, Any], job: int = 0) -> dict[str, Any]:
        api = self.client.api_client
        response = api.rest_client.PATCH(
            f"{self.client.api_map.host}/api/jobs/{self.jobs[job].id}/annotations?action={action}",
            headers=make_request_headers(api),
            body=body,
        )
        answer: dict[str, Any] = json.loads(response.data)
        return answer


@define(kw_only=True)
class FaultyClient:
    """A client whose requests go through a proxy with faults."""

    client: Client
    proxy: FaultProxy
    log: list[str]
    """The action of each request for annotations: "read", "create" or "delete"."""
