"""Find out whether the record of a CVAT task is about this task, as it is now."""

from __future__ import annotations

from aa_functions.identity import named_alike
from cvat_flows.flows.run.context import RunContext
from cvat_flows.tasks.cvat.task import fetch_updated
from cvat_flows.tasks.engine.current import run_logger
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import manifest_folder
from cvat_flows.tasks.record.manifest_summary import read_summary
from cvat_flows.tasks.record.single_jobs import check_other_records
from cvat_flows.tasks.upload.reconcile import forget_what_is_gone


def log_namesakes(context: RunContext) -> None:
    """If the function has no record of the task, say which records could be taken for one."""
    storage, task, name = context.storage, context.media.identity, context.function.name
    if any(True for _ in storage.list(manifest_folder(task, name))):
        return
    functions = functions_of_task(storage, task)
    for other in named_alike(name, functions):
        run_logger().warning(
            "task %s has annotations of another function %r. If it is this one, and the file has "
            "moved, go on with its record: --function-name %s",
            task.task_id,
            other,
            other,
        )
    if functions:
        return
    others = describe_namesakes(storage, task)
    if others:
        run_logger().info("a new record begins for task %s: %s", task.task_id, others)


def check_records(context: RunContext) -> None:
    """Raise TwoRecords or TaskIsBusy if another record is about the same jobs."""
    media = context.media
    check_other_records(
        context.client,
        context.storage,
        media.identity,
        (job.id for job in media.selected_jobs(context.parameters.jobs)),
        server=media.host,
        writes=not context.parameters.dry_run,
    )


def is_task_older(context: RunContext, manifest: Manifest) -> bool:
    """Return whether the task is older than its record."""
    summary = read_summary(manifest.storage, task=manifest.task, function=manifest.function)
    if summary is None or not summary.is_later_than(context.media.updated):
        return False
    # Another run may have ended since this one read the task.
    return summary.is_later_than(fetch_updated(context.client, manifest.task))


def adapt_records(context: RunContext, manifest: Manifest) -> None:
    """Make the records fit a task that is older than they are."""
    frames = forget_what_is_gone(context.client, manifest, context.labels)
    run_logger().warning(
        "task %s is older than the record of what was uploaded to it: CVAT was restored from a "
        "backup, or this is a copy of the server. Frames whose recorded annotations are not there "
        "count as not annotated: %s",
        manifest.task.task_id,
        frames,
    )
