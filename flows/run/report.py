"""Show a run in the Prefect UI: its name and tags, and at its end its reports and its table.

A report that cannot be made or stored is a warning in the log: the annotations are what counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.command_line import call_of
from cvat_flows.flows.run.links import artifact_url
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.detect.pruning import RESULTS
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import escape_markdown, host_slug, on_one_line, shorten_name
from cvat_flows.tasks.reports.artifacts import add_markdown, artifact_key, last_description
from cvat_flows.tasks.reports.failed_frames import failed_markdown
from cvat_flows.tasks.reports.frame_page import Reproduction
from cvat_flows.tasks.reports.preview import MAX_PICTURES, PICTURE_SIZE, preview_page
from cvat_flows.tasks.reports.preview_markdown import preview_markdown
from cvat_flows.tasks.reports.run_markdown import report_markdown
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.samples import SamplePictures
from cvat_flows.tasks.reports.table import to_csv, to_parquet
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.storage import Storage

PATIENCE = 1.0
"""Seconds that fetching pictures of cached frames may take at the end of a run."""
PATIENCE_PREVIEW = 20.0
"""The same of a run that writes nothing: its pictures are what it is for."""
_NONE_FAILED = "no frame failed"
_NOT_ALONE = {"max_failed_frames", "dry_run", "existing", "split", "split_runs", "only_unannotated"}
"""Options that mean nothing for a single frame that is looked at without writing."""


def show_name(parameters: AnnotateTaskParameters, media: TaskMedia, live: LiveInputs) -> None:
    """Name the flow run after the CVAT task and the function, and tag it to be filtered by."""
    function = live.function.title if live.function else parameters.function_name
    tags = [f"cvat-task:{media.task_id}", f"function:{on_one_line(function, 80)}"]
    if media.project_name:
        tags.append(f"project:{on_one_line(media.project_name, 80)}")
    task = f'{media.task_id} "{shorten_name(media.name, 60)}"'
    name = f"annotate {task} · {on_one_line(function, 60)}"
    with _only_a_warning("the run's name"):
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return
        run = context.flow_run
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags}))
        run.name = name
        run.tags = sorted({*run.tags, *tags})


def show_pictures(
    run: AnnotationRun,
    plan: Plan,
    report: RunReport,
    function: LoadedFunction,
    parameters: AnnotateTaskParameters,
) -> None:
    """Have the run keep what is to be shown of it."""
    numbers = array("q", (frame.number for batch in plan.batches for frame in batch.frames))
    run.pictures = RunPictures(
        client=run.client,
        media=run.media,
        match=run.match,
        labels=report.labels,
        reproduction=Reproduction(
            function=_function_in_words(function),
            fingerprint=function.fingerprint,
            command=_alone(parameters, function),
        ),
        samples=SamplePictures(numbers=numbers, max_count=MAX_PICTURES, size=PICTURE_SIZE)
        if parameters.dry_run
        else SamplePictures(numbers=numbers),
    )
    report.command = "" if function.reference is None else call_of(parameters)


def publish(
    run: AnnotationRun,
    report: RunReport,
    parameters: AnnotateTaskParameters,
    storage: Storage,
) -> None:
    """Write the per-frame table to the storage and the reports to Prefect."""
    pictures = run.pictures
    if pictures is None:
        return
    report.step_seconds = run.timer.totals()
    if report.stopped is None:
        with _only_a_warning("the pictures of cached frames"):
            pictures.fetch_missing(timeout=PATIENCE_PREVIEW if parameters.dry_run else PATIENCE)
    samples = pictures.samples.samples
    files = report.files
    with _only_a_warning("the per-frame table"):
        table = report.table()
        folder = results_folder(report.media)
        for name, content in (("frames.parquet", to_parquet), ("frames.csv", to_csv)):
            storage.write(f"{folder}/{name}", content(table), durable=False)
            files.append(("per-frame table", f"{folder}/{name}"))
    if parameters.dry_run:
        with _only_a_warning("the preview page"):
            threshold = (parameters.label_thresholds or {}).get(WILDCARD, parameters.conf_threshold)
            page = preview_page(report, samples, threshold=threshold)
            path = f"{folder}/preview.html"
            storage.write(path, page.encode("utf-8", "replace"), durable=False)
            files.insert(0, ("page with a slider for the threshold", path))
    with _only_a_warning("the report"):
        make = preview_markdown if parameters.dry_run else report_markdown
        what = "preview" if parameters.dry_run else "report"
        _put(make(report, samples, files=files), report, what, _short_sentence(report))
    with _only_a_warning("the table of failed frames"):
        table_path = files[-1][1] if files else ""
        _put_failed(run, report, table_path)
    get_run_logger().info("CVAT task: %s", report.media.task_url)


def results_folder(media: TaskMedia) -> str:
    """The folder in the storage of what this flow run writes about itself.

    Made of ids and dates alone: no name from outside reaches a path.
    """
    started = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = str(flow_run.id or "local")[:8]
    return f"{RESULTS}/{host_slug(media.host)}/task-{media.task_id}/{started}-{run}"


def _put_failed(run: AnnotationRun, report: RunReport, table_path: str) -> None:
    """The table of failed frames. Without any, only where an earlier run had some: else the
    latest of the task's history would go on naming them."""
    assert run.pictures is not None
    description = _NONE_FAILED
    if report.failed_count:
        description = f"{report.failed_count:,} failed: {report.failure_kinds()}"
    else:
        earlier = last_description(artifact_key(report.media, "failed-frames"))
        if earlier is None or earlier == _NONE_FAILED:
            return
    markdown = failed_markdown(report, run.pictures.failed, table_path=table_path)
    _put(markdown, report, "failed-frames", description)


def _put(markdown: str, report: RunReport, what: str, description: str) -> None:
    found: UUID | None = add_markdown(
        markdown,
        key=artifact_key(report.media, what),
        description=escape_markdown(description, 300),
    )
    address = artifact_url(found) if found else None
    if address:
        get_run_logger().info("%s: %s", what.replace("-", " "), address)


def _short_sentence(report: RunReport) -> str:
    return report.sentence.partition(": frame ")[0]


def _function_in_words(function: LoadedFunction) -> str:
    if function.reference is None:
        return f"{function.title} (a live object)"
    parameters = ", ".join(f"{k}={v!r}" for k, v in function.reference.parameters.items())
    name = function.reference.module or str(function.reference.file)
    return f"{name}({parameters})" if parameters else name


def _alone(parameters: AnnotateTaskParameters, function: LoadedFunction) -> Callable[[Frame], str]:
    def command(frame: Frame) -> str:
        if function.reference is None:
            return f"# frame {frame.number}: the function is an object of the program that ran it"
        return call_of(
            parameters, command="preview", without=_NOT_ALONE, frames=str(frame.number), jobs=None
        )

    return command


@contextmanager
def _only_a_warning(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        get_run_logger().warning("%s could not be written: %s", what, error)
