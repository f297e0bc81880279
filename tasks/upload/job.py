"""Upload the outcomes of one CVAT job, exactly once and without changing people's work.

The steps are: read the job, find out what became of open requests, plan, write what is about to
happen to the manifest, create, verify, delete what is superseded, write the result to the manifest.
If a step is interrupted, the job and the manifest contain all that the next upload needs to finish;
docs/upload.md explains why.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from cvat_sdk import Client

from cvat_flows.tasks.cvat.job import fetch_job_updated, fetch_writable_job
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.uploads import JobChange, add_change
from cvat_flows.tasks.upload.frames.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.frames.windows import windows_of
from cvat_flows.tasks.upload.job_upload import JobUpload


def upload_job(
    client: Client,
    *,
    task_id: int,
    job_id: int,
    outcomes: Iterable[Outcome],
    manifest: Manifest,
    options: UploadOptions | None = None,
) -> UploadReport:
    """Upload the annotations of `outcomes` to a job. Skipped outcomes are ignored.

    For frames that jobs share, call this for each of the jobs. `upload_in_rounds` calls it again
    for the frames that must wait for the outcome of a request.

    Memory does not grow with the number of outcomes, except for 200 bytes for each object that the
    job contains already, and some 100 for each that is created.

    Args:
        client: The CVAT server.
        task_id: Id of the job's task.
        job_id: Id of the job.
        outcomes: In order of frame number. Any other order works, but writes the manifest more
            often.
        manifest: The function's manifest of the task.
        options: How to upload.

    Returns:
        What was uploaded. Frames that CVAT refuses are in its `failed`. For those in `waiting`,
        call this again after `look_after`.

    Raises:
        CvatUnavailable: CVAT stays unavailable; run it again later.
        CvatRefused: CVAT refuses the whole job.
        NotWritable: The job is not of this task, or is a ground-truth job.
    """
    options = options or UploadOptions()
    channel = JobAnnotations(client=client, job_id=job_id, retry_policy=options.retry_policy)
    labels = fetch_labels(client, job_id=job_id) if options.labels is None else options.labels
    job = fetch_writable_job(client, task_id, job_id, ground_truth=options.ground_truth)
    upload = JobUpload(
        channel=channel,
        manifest=manifest,
        options=options,
        job_frames=job.frames,
        names=manifest.label_names(labels),
    )
    try:
        for window in windows_of(outcomes):
            upload.send(window)
        upload.finish()
    finally:
        _record_change(client, upload, since=job.updated)
    return UploadReport(
        task_id=task_id,
        job_id=job_id,
        dry_run=options.dry_run,
        frames=tuple(result for _, result in sorted(upload.results.items())),
        failed=tuple(upload.failed),
        waiting=tuple(sorted(upload.waiting)),
        look_after=max(upload.waiting.values(), default=0.0),
        requests=upload.creator.requests + upload.deleter.requests,
        doubtful=upload.creator.doubtful + upload.deleter.doubtful,
    )


def _record_change(client: Client, upload: JobUpload, *, since: str) -> None:
    """Record from when to when an upload changed the job, by CVAT's clock.

    It only serves evaluations, so the upload does not fail without it.
    """
    if not (upload.creator.requests or upload.deleter.requests):
        return
    manifest, job_id = upload.manifest, upload.channel.job_id
    with suppress(CvatFlowsError):
        upload.options.check()
        updated = fetch_job_updated(client, job_id)
        change = JobChange(run=manifest.run.id, before=since, after=updated)
        add_change(manifest.storage, manifest.folder, job_id, change)
