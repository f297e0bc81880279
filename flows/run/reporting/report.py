"""Write the reports of a run: in Prefect, and tables in the storage.

A report that cannot be written is only a warning in the log: what counts are the annotations.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import frozen

from aa_functions.installed import short_name
from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.reporting.command_line import command_for
from cvat_flows.flows.run.reporting.links import artifact_url
from cvat_flows.tasks.detect.pruning import RESULTS
from cvat_flows.tasks.engine.current import current_engine, run_logger, warn_on_error
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import escape_markdown, host_slug
from cvat_flows.tasks.reports.artifacts import add_markdown, artifact_key, last_description
from cvat_flows.tasks.reports.failed_frames import failed_markdown
from cvat_flows.tasks.reports.frame_page import Reproduction
from cvat_flows.tasks.reports.pictures.samples import SamplePictures
from cvat_flows.tasks.reports.preview import MAX_PICTURES, PICTURE_SIZE, preview_page
from cvat_flows.tasks.reports.preview_markdown import preview_markdown
from cvat_flows.tasks.reports.run_markdown import report_markdown
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.table import to_csv, to_parquet
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.storage import Storage

PICTURES_TIMEOUT = 1.0
"""Seconds for fetching pictures of cached frames when a run ends."""
PREVIEW_PICTURES_TIMEOUT = 20.0
"""The same for a dry run, which exists for its pictures."""
_NONE_FAILED = "no frame failed"
_NOT_FOR_ONE_FRAME = {
    "max_failed_frames",
    "dry_run",
    "existing",
    "split",
    "split_runs",
    "only_unannotated",
}
"""Options that have no effect on the preview of a single frame."""


def run_pictures(context: RunContext, plan: Plan) -> RunPictures:
    """Return what collects sample pictures and failed frames for the reports of a run."""
    numbers = array("q", sorted(frame.number for frame in plan.frames))
    return RunPictures(
        client=context.client,
        media=context.media,
        match=context.match,
        labels=context.labels,
        reproduction=Reproduction(
            function=_describe_function(context.function),
            fingerprint=context.function.fingerprint,
            command=_preview_command(context.parameters, context.function),
        ),
        samples=SamplePictures(numbers=numbers, max_count=MAX_PICTURES, size=PICTURE_SIZE)
        if context.parameters.dry_run
        else SamplePictures(numbers=numbers),
    )


def new_report(context: RunContext, plan: Plan) -> RunReport:
    """Return the report of a run that begins; it holds the frames that the plan skips."""
    report = RunReport(
        media=context.media,
        function=short_name(context.function.name),
        fingerprint=context.function.fingerprint,
        labels=context.labels,
        match=context.match.rows,
        dry_run=context.parameters.dry_run,
        begin=context.live.begin,
        command="" if context.function.reference is None else command_for(context.parameters),
    )
    report.add(plan.skipped)
    selected = context.parameters.jobs or ()
    replicas = (job.id for job in context.media.replica_jobs)
    report.replica_jobs = tuple(job_id for job_id in replicas if job_id not in selected)
    report.not_selected = context.media.frame_count - plan.frame_count - len(plan.skipped)
    return report


@contextmanager
def publishing(context: RunContext, run: AnnotationRun, report: RunReport) -> Iterator[None]:
    """Publish the report at the end of the block, also if an error with a sentence ends it."""
    try:
        yield
    except CvatFlowsError as error:
        report.stopped = str(error)
        publish(context, run, report)
        raise
    publish(context, run, report)


def publish(context: RunContext, run: AnnotationRun, report: RunReport) -> None:
    """Finish the report. Write the per-frame table to the storage, and the pages."""
    parameters, storage = context.parameters, context.storage
    report.finish()
    pictures = run.pictures
    if pictures is None:
        return
    report.step_seconds = run.timer.totals()
    if report.stopped is None:
        with warn_on_error("the pictures of cached frames"):
            timeout = PREVIEW_PICTURES_TIMEOUT if parameters.dry_run else PICTURES_TIMEOUT
            pictures.fetch_missing(timeout=timeout)
    samples = pictures.samples.samples
    files = report.files
    folder, recorded = results_folder(report.media), current_engine().is_recorded
    publisher = _Publisher(storage, folder, report)
    table_path = f"{folder}/frames.csv"
    with warn_on_error("the per-frame table"):
        rows = report.sorted_rows()
        tables = {table_path: to_csv(rows)}
        if recorded:
            tables[f"{folder}/frames.parquet"] = to_parquet(rows)
        for path, content in tables.items():
            storage.write(path, content, durable=False)
            files.append(("per-frame table", path))
    if parameters.dry_run:
        with warn_on_error("the preview page"):
            threshold = (parameters.label_thresholds or {}).get(WILDCARD, parameters.conf_threshold)
            page = preview_page(report, samples, threshold=threshold)
            path = f"{folder}/preview.html"
            storage.write(path, page.encode("utf-8", "replace"), durable=False)
            files.insert(0, ("page with a slider for the threshold", path))
    with warn_on_error("the table of failed frames"):
        is_written = table_path in (path for _, path in files)
        _put_failed(run, report, table_path if is_written else "", publisher)
    # Last, because lists of artifacts begin with the newest one.
    with warn_on_error("the report"):
        make = preview_markdown if parameters.dry_run else report_markdown
        what = "preview" if parameters.dry_run else "report"
        publisher.put(make(report, samples, files=files), what, _short_sentence(report))
    run_logger().info("CVAT task: %s", report.media.task_url)


def results_folder(media: TaskMedia) -> str:
    """Return the storage folder for this flow run's files.

    Its path consists of ids and dates, so no untrusted name gets into it.
    """
    started = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = current_engine().run_id[:8]
    return f"{RESULTS}/{host_slug(media.host)}/task-{media.task_id}/{started}-{run}"


def _put_failed(
    run: AnnotationRun, report: RunReport, table_path: str, publisher: _Publisher
) -> None:
    """Write the table of failed frames.

    A run without failed frames writes it only to replace the table of an earlier run.
    """
    assert run.pictures is not None
    description = _NONE_FAILED
    if report.failed_count:
        description = f"{report.failed_count:,} failed: {report.failure_kinds()}"
    else:
        earlier = last_description(artifact_key(report.media, "failed-frames"))
        if earlier is None or earlier == _NONE_FAILED:
            return
    markdown = failed_markdown(report, run.pictures.failed, table_path=table_path)
    publisher.put(markdown, "failed-frames", description)


@frozen
class _Publisher:
    """Writes pages to Prefect, or to the storage if there is no Prefect server."""

    storage: Storage
    folder: str
    report: RunReport

    def put(self, markdown: str, what: str, description: str) -> None:
        if not current_engine().is_recorded:
            path = f"{self.folder}/{what}.md"
            self.storage.write(path, markdown.encode("utf-8", "replace"), durable=False)
            self.report.files.append((what.replace("-", " "), path))
            return
        found = add_markdown(
            markdown,
            key=artifact_key(self.report.media, what),
            description=escape_markdown(description, 300),
        )
        address = artifact_url(found) if found else None
        if address:
            run_logger().info("%s: %s", what.replace("-", " "), address)


def _short_sentence(report: RunReport) -> str:
    """Return the sentence without the list of failed frames."""
    return report.sentence.partition(": frame ")[0].partition(" The first failed frame")[0]


def _describe_function(function: LoadedFunction) -> str:
    if function.reference is None:
        return f"{function.title} (a live object)"
    parameters = ", ".join(f"{k}={v!r}" for k, v in function.reference.parameters.items())
    name = function.reference.module or str(function.reference.file)
    return f"{name}({parameters})" if parameters else name


def _preview_command(
    parameters: AnnotateTaskParameters, function: LoadedFunction
) -> Callable[[Frame], str]:
    def command(frame: Frame) -> str:
        if function.reference is None:
            return f"# frame {frame.number}: no command, because the function is a live object"
        return command_for(
            parameters,
            command="preview",
            without=_NOT_FOR_ONE_FRAME,
            frames=str(frame.number),
            jobs=None,
        )

    return command
