"""Review what became of uploaded annotations. Nothing is written to CVAT."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from attrs import evolve
from cvat_sdk import Client

from cvat_flows.flows.evaluation.keep import keep_figures_of_review
from cvat_flows.flows.evaluation.predict import predict
from cvat_flows.flows.evaluation.publish import publish_review
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.context import RunContext, open_context
from cvat_flows.flows.run.live import live_inputs
from cvat_flows.flows.run.naming import name_flow_run
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import fetch_job_states, fetch_media, host_of
from cvat_flows.tasks.engine.current import run_logger
from cvat_flows.tasks.evaluate.acceptance.review import (
    Detections,
    ReviewRow,
    UploadedWork,
    read_uploaded,
    review,
)
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.manifest_file import MANIFESTS
from cvat_flows.tasks.reports.evaluation.review_report import ReviewReport
from cvat_flows.tasks.storage import Storage, open_storage


def review_task(parameters: ReviewTaskParameters) -> ReviewReport:
    """Review one task, and publish the report.

    Raises CvatFlowsError, with a sentence, if there is nothing to review.
    """
    live, storage = live_inputs(), open_storage()
    detection = parameters.for_detection()
    context = None if detection is None else open_context(detection, live)
    if context is None:
        client = live.client or connect_for_run(find_settings(parameters.server))
        work = _read(client, storage, parameters)
        rows = review(client, work, {})
    else:
        name_flow_run(context.parameters, context.media, context.live, verb="review")
        work = _read(context.client, storage, parameters, context.function.name)
        rows = review(context.client, work, _detections(context, parameters, work))
    report = ReviewReport(title=str(work.media), rows=rows, late=work.late)
    publish_review(storage, report, media=work.media)
    return report


def review_finished_tasks(parameters: ReviewFinishedTasksParameters) -> ReviewReport:
    """Review all tasks with uploads whose jobs people have finished, and publish one report.

    A task that cannot be read is left out, with a note.
    """
    live = live_inputs()
    client = live.client or connect_for_run(find_settings(parameters.server))
    storage = open_storage()
    since = datetime.now(UTC) - timedelta(days=parameters.days)
    rows: list[ReviewRow] = []
    notes: list[str] = []
    tasks = late = 0
    for task_id, folder in _recorded_tasks(storage, since):
        try:
            work = _read(client, storage, ReviewTaskParameters(task_id=task_id), since=since)
        except NoTruth:
            continue  # nobody has finished a job with uploads of these days
        except CvatRefused as error:
            if error.status != 404:
                notes.append(str(error))
            continue
        except CvatFlowsError as error:
            notes.append(str(error))
            continue
        if work.media.identity.folder != folder:
            continue  # another task with this number, for example of another server
        tasks += 1
        late += work.late
        rows += review(client, work, {})
        run_logger().info("reviewed task %s", task_id)
    title = f"{counted(tasks, 'task')}, uploads of the last {counted(parameters.days, 'day')}"
    report = ReviewReport(title=title, rows=rows, notes=tuple(notes), late=late)
    if parameters.keep_figures:
        report = keep_figures_of_review(storage, host_of(client), report, days=parameters.days)
    publish_review(storage, report)
    return report


def _read(
    client: Client,
    storage: Storage,
    parameters: ReviewTaskParameters,
    function: str | None = None,
    since: datetime | None = None,
) -> UploadedWork:
    return read_uploaded(
        storage,
        fetch_media(client, parameters.task_id),
        fetch_labels(client, task_id=parameters.task_id),
        fetch_job_states(client, parameters.task_id),
        jobs=parameters.jobs,
        function=function,
        since=since,
    )


def _detections(
    context: RunContext, parameters: ReviewTaskParameters, work: UploadedWork
) -> Detections:
    """Detect as when the frames were annotated, from the cache if possible."""
    frames = work.frames(context.function.name)
    detection = parameters.for_detection(",".join(map(str, frames)))
    if detection is None or not frames:
        return {}
    detections: dict[int, list[Annotation]] = {}
    for one in predict(evolve(context, parameters=detection)).objects.shapes:
        detections.setdefault(one.frame, []).append(one)
    return detections


def _recorded_tasks(storage: Storage, since: datetime) -> Iterator[tuple[int, str]]:
    """Yield the id of each task whose manifest was written lately, and the folder of its files."""
    seen = set()
    for stored in storage.list(MANIFESTS):
        _, number, created, *_ = [*stored.path.split("/"), "", ""]
        folder = f"{number}/{created}"
        task_id = number.removeprefix("task-")
        if folder not in seen and task_id.isdigit() and stored.modified >= since:
            seen.add(folder)
            yield int(task_id), folder
