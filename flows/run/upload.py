"""Upload the outcomes of a run, each job when its frames are done, beside the detection."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import datetime
from queue import SimpleQueue

from attrs import define, evolve, field

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.record import RunRecord
from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.task import fetch_updated
from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.fetch.plan import ANNOTATED, DONE, SET_ASIDE
from cvat_flows.tasks.model.frames import Batch, Frame
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.history import add_to_history, entry_of
from cvat_flows.tasks.record.manifest_file import now
from cvat_flows.tasks.record.manifest_summary import write_summary
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import show_failure, upload
from cvat_flows.tasks.upload.frames.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.rounds import upload_in_rounds


@define(kw_only=True)
class Uploads:
    """The uploads of a run, in a thread of their own, one job at a time.

    The other methods are for the thread of the run. It alone changes the report.
    """

    run: AnnotationRun
    record: RunRecord
    report: RunReport
    _missing: Counter[int] = field(factory=Counter, init=False)
    """Frames of each job that are not done."""
    _ready: SimpleQueue[int | None] = field(factory=SimpleQueue, init=False)
    """Jobs to upload; None ends the thread."""
    _finished: SimpleQueue[UploadReport | BaseException | None] = field(
        factory=SimpleQueue, init=False
    )
    """What the thread did; None or an error is the last."""
    _thread: threading.Thread | None = field(default=None, init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)
    _uploaded: set[int] = field(factory=set, init=False)

    @contextmanager
    def beside(self, batches: Sequence[Batch]) -> Iterator[None]:
        """Upload the jobs of these batches during the block, and the rest of them at its end.

        If the report says that the run stopped, or if an error ends the block, no further job is
        uploaded.
        """
        frames = (frame for batch in batches for frame in batch.frames)
        self._missing = Counter(job for frame in frames for job in frame.job_ids)
        try:
            yield
        except Exception:
            with suppress(Exception):  # The first error tells more.
                self._stop()
            raise
        except BaseException:  # A person interrupts the run, and does not want to wait.
            self._stopped.set()
            raise
        if self.report.stopped:
            self._stop()
            self.report.stopped = f"{self._describe()}: {self.report.stopped}"
            self._write_history()
        else:
            self._finish()

    def frames_done(self, frames: Iterable[Frame]) -> None:
        """Note that frames are done, and upload the jobs that are complete.

        With upload='at_end' and in the strict mode, nothing is uploaded before the block ends.
        Raises the error of an upload that failed.
        """
        jobs = Counter(job for frame in frames for job in frame.job_ids)
        self._missing.subtract(jobs)
        if not self._at_end():
            for job in jobs:
                if self._missing[job] == 0:
                    self._start(job)
        self._collect(wait=False)

    def _finish(self) -> None:
        if self._at_end():
            for job in self._missing:
                self._start(job)
        self._end()
        self.run.spool.clear()
        if not self.record.context.parameters.dry_run:
            self._write_summary()
        self._write_history()

    def _stop(self) -> None:
        """Start no further upload, and wait for the one under way."""
        self._stopped.set()
        self._end()

    def _at_end(self) -> bool:
        parameters = self.record.context.parameters
        return self.run.strict or parameters.upload_at_end

    def _start(self, job: int) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=copy_context().run, args=[self._work], name="upload", daemon=True
            )
            self._thread.start()
        self._ready.put(job)

    def _end(self) -> None:
        if self._thread is not None:
            self._ready.put(None)
            self._collect(wait=True)

    def _collect(self, *, wait: bool) -> None:
        """Add what is uploaded to the report. Raises the error of an upload."""
        while self._thread is not None and (wait or not self._finished.empty()):
            found = self._finished.get()
            if isinstance(found, UploadReport):
                self._uploaded.add(found.job_id)
                self.report.add(found.failed)
                self.report.add_uploads(found.frames)
                _show_failures(self.run, found)
                continue
            self._thread = None
            if found is not None:
                raise found

    def _work(self) -> None:
        try:
            context, parameters = self.record.context, self.record.context.parameters
            options = UploadOptions(
                existing=parameters.existing,
                dry_run=parameters.dry_run,
                ground_truth=parameters.include_ground_truth,
                labels=context.labels,
            )
            lease = self.record.lease
            if lease is not None:
                lease.begin_writing()
                options = evolve(options, check=lease.check, quiet_since=lease.quiet_since)
            for uploaded in upload_in_rounds(
                self._jobs(),
                lambda job, frames: upload(self.run, self.record.manifest, job, options, frames),
                announce=run_logger().warning,
            ):
                self._finished.put(uploaded)
            self._finished.put(None)
        except BaseException as error:
            self._finished.put(error)

    def _jobs(self) -> Iterator[int]:
        while (job := self._ready.get()) is not None and not self._stopped.is_set():
            yield job

    def _describe(self) -> str:
        if not self._uploaded:
            return "Nothing uploaded"
        task_id = self.record.context.media.task_id
        jobs = counted(len({*self._uploaded, *self._missing}), "job")
        return (
            f"{len(self._uploaded):,} of {jobs} uploaded before the run stopped (to delete their "
            f"annotations: cvat-flows undo {task_id} --run {current_engine().run_id})"
        )

    def _write_history(self) -> None:
        report, manifest = self.report, self.record.manifest
        if report.dry_run:
            return
        entry = entry_of(
            manifest.run,
            ended=now(),
            annotated=report.count("annotated"),
            failed=report.failed_count,
            skipped=report.count("skipped"),
            created=report.created,
            deleted=report.deleted,
            stopped=report.stopped or "",
        )
        add_to_history(manifest.storage, entry, task=manifest.task, function=manifest.function)

    def _write_summary(self) -> None:
        context = self.record.context
        skipped = {row.frame: row.skipped for row in self.report.rows.values() if row.skipped}
        write_summary(
            self.record.manifest,
            frames=context.media.frame_count,
            task_updated=_last_change(context),
            excluded={n for n, why in skipped.items() if why not in (DONE, ANNOTATED, SET_ASIDE)},
            annotated={number for number, why in skipped.items() if why == ANNOTATED},
        )


def _last_change(context: RunContext) -> datetime:
    """Return when the task was last changed, by CVAT's clock: if it is away, before this run."""
    try:
        return fetch_updated(context.client, context.media.identity)
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
