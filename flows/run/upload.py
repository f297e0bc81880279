"""Upload the outcomes of a run, job by job."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.record import RunRecord
from cvat_flows.tasks.cvat.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.task import fetch_updated
from cvat_flows.tasks.engine.current import run_logger
from cvat_flows.tasks.fetch.plan import ANNOTATED, DONE, SET_ASIDE
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import show_failure, upload
from cvat_flows.tasks.upload.manifest_summary import write_summary
from cvat_flows.tasks.upload.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.rounds import upload_in_rounds


def upload_all(run: AnnotationRun, record: RunRecord, report: RunReport) -> None:
    """Upload the spool job by job, and empty it. A frame that CVAT rejects becomes a failed one."""
    context, parameters = record.context, record.context.parameters
    options = UploadOptions(
        existing=parameters.existing,
        dry_run=parameters.dry_run,
        ground_truth=parameters.include_ground_truth,
        labels=context.labels,
    )
    if record.lease is not None:
        record.lease.begin_writing()
        lease = record.lease
        options = evolve(options, check=lease.check, quiet_since=lease.quiet_since)
    for uploaded in upload_in_rounds(
        run.spool.job_ids(),
        lambda job_id, frames: upload(run, record.manifest, job_id, options, frames),
        announce=run_logger().warning,
    ):
        report.add(uploaded.failed)
        report.add_uploads(uploaded.frames)
        _show_failures(run, uploaded)
    run.spool.clear()
    if not parameters.dry_run:
        skipped = {row.frame: row.skipped for row in report.rows.values() if row.skipped}
        write_summary(
            record.manifest,
            frames=context.media.size,
            task_updated=_last_change(context),
            excluded={n for n, why in skipped.items() if why not in (DONE, ANNOTATED, SET_ASIDE)},
            annotated={number for number, why in skipped.items() if why == ANNOTATED},
        )


def _last_change(context: RunContext) -> datetime:
    """Return when the task was last changed, by CVAT's clock: if it is away, before this run."""
    try:
        return fetch_updated(context.client, context.media.task_id)
    except (CvatUnavailable, CvatRefused):
        return context.media.updated


def _show_failures(run: AnnotationRun, uploaded: UploadReport) -> None:
    """Show each rejected frame as a failed task run, up to a maximum number."""
    room = run.pictures.failed.room if run.pictures else MAX_SHOWN
    shown = [
        show_failure.submit(run, outcome, outcome.failure)
        for outcome in uploaded.failed[:room]
        if outcome.failure
    ]
    for one in shown:
        one.wait()
