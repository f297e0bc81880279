"""The manifest and the lease of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from attrs import evolve, frozen

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.record_fit import (
    adapt_records,
    check_records,
    is_task_older,
    log_namesakes,
)
from cvat_flows.flows.run.unknown_inputs import warn_of_missing_input
from cvat_flows.tasks.cvat.annotated_frames import annotated_frames
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.detect.present import PresentAnnotations, read_present
from cvat_flows.tasks.engine.current import current_engine
from cvat_flows.tasks.fetch.plan import DONE, Plan
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.record.held_lease import Lease
from cvat_flows.tasks.record.lease import task_lease
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.ownership import ManifestItem

_OURS = {"annotated", "pending"}


@frozen(kw_only=True)
class RunRecord:
    """The manifest of a run: what earlier runs did, and what this one does."""

    context: RunContext
    manifest: Manifest
    lease: Lease | None
    """None in a dry run."""
    present: PresentAnnotations | None
    """What is on the frames, if the function needs that."""

    def annotated_frames(self) -> frozenset[int]:
        """Return the frames that have annotations, if `only_unannotated` is set."""
        context, parameters = self.context, self.context.parameters
        if not parameters.only_unannotated:
            return frozenset()
        found = frozenset(
            number
            for job in context.media.selected_jobs(parameters.jobs)
            for number in annotated_frames(context.client, job)
        )
        if not parameters.renew and not parameters.fresh:
            return found
        return frozenset(number for number in found if not self._is_ours(number))

    def forget_version(self, path: str) -> None:
        """Record no frame as done from now on: the fingerprint lacks the file at `path`."""
        warn_of_missing_input(self.context.function, path)
        self.manifest.run = evolve(self.manifest.run, fingerprint="")

    def _is_ours(self, number: int) -> bool:
        """Return whether any version of this function has annotated the frame or started to."""
        jobs = self.context.media.frame(number, jobs=self.context.parameters.jobs).job_ids
        records = (self.manifest.record(job_id, number) for job_id in jobs)
        return any(known is not None and known.state in _OURS for known in records)

    def done_frames(self) -> frozenset[int]:
        """Return the frames that this version of the function has annotated with these options.

        Return none for existing='clear', which must process them to remove other annotations. For
        `fresh`, return only those that this flow run has annotated before it was interrupted.
        """
        context, parameters = self.context, self.context.parameters
        if context.function.fingerprint is None or parameters.existing == "clear":
            return frozenset()
        is_done = self.manifest.is_done_by_this_run if parameters.fresh else self.manifest.is_done
        return self._numbers(is_done)

    def frames_set_aside(self) -> frozenset[int]:
        """Return the frames that failed in the same way in each of the last runs.

        Return none if a person wants them to be tried: with `fresh`, in a flow run that is
        repeated, or if the run is to annotate all frames or none.
        """
        context, parameters = self.context, self.context.parameters
        is_wanted = parameters.fresh or current_engine().is_repeated
        if context.function.fingerprint is None or is_wanted or not parameters.max_failed_frames:
            return frozenset()
        return self._numbers(self.manifest.is_set_aside)

    def _numbers(self, is_one: Callable[[Frame, str], bool]) -> frozenset[int]:
        """Return the numbers of the task's frames for which `is_one` is true.

        `is_one` also gets the digest of what is on the frame, if the function needs that.
        """
        digest = self.present.digest if self.present else lambda frame: ""
        media, jobs = self.context.media, self.context.parameters.jobs
        frames = (media.frame(number, jobs=jobs) for number in range(media.size))
        return frozenset(frame.number for frame in frames if is_one(frame, digest(frame)))

    def count_removed(self, plan: Plan) -> int:
        """Return how many uploaded annotations are gone from the frames that are done.

        Only a run with nothing else to do looks: it must not end as if the task were annotated when
        somebody has emptied it in CVAT.
        """
        done = [outcome.frame for outcome in plan.skipped if outcome.skipped == DONE]
        if plan.frames or not done:
            return 0
        uploaded: dict[int, list[ManifestItem]] = {}
        for frame in done:
            for job_id in frame.job_ids:
                record = self.manifest.record(job_id, frame.number)
                uploaded.setdefault(job_id, []).extend(record.items if record else ())
        removed = 0
        for job_id, items in uploaded.items():
            job = JobAnnotations(client=self.context.client, job_id=job_id)
            present = {(kind[0], item["id"]) for kind, item in job.read()}
            removed += sum((item.digest[0], item.id) not in present for item in items)
        return removed


@contextmanager
def open_record(context: RunContext) -> Iterator[RunRecord]:
    """Open the manifest and become the only writer of the CVAT task.

    Raises TaskIsBusy if another run still writes after `wait_for_writer` seconds.
    """
    media, parameters, engine = context.media, context.parameters, current_engine()
    stamp = RunStamp(
        id=engine.run_id,
        name=engine.run_name,
        fingerprint=context.function.fingerprint or "",
        parameters=result_digest(parameters, context.labels),
        images=media.images_version,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    manifest = Manifest(
        context.storage,
        task=media.identity,
        function=context.function.name,
        run=stamp,
        server=media.host,
    )
    log_namesakes(context)
    if parameters.dry_run:
        check_records(context)
        manifest.ignore_records = is_task_older(context, manifest)
        with _present(context, manifest) as present:
            yield RunRecord(context=context, manifest=manifest, lease=None, present=present)
        return
    with task_lease(
        context.storage,
        task=media.identity,
        run=stamp,
        wait=parameters.wait_for_writer,
        writes_later=True,
    ) as lease:
        check_records(context)
        if is_task_older(context, manifest):
            lease.begin_writing()
            adapt_records(context, manifest)
        with _present(context, manifest) as present:
            yield RunRecord(context=context, manifest=manifest, lease=lease, present=present)


@contextmanager
def _present(context: RunContext, manifest: Manifest) -> Iterator[PresentAnnotations | None]:
    """Read what is on the frames if the function needs that."""
    if not context.function.needs_annotations:
        yield None
        return
    jobs = context.media.selected_jobs(context.parameters.jobs)
    with closing(read_present(context.client, jobs, context.labels, manifest)) as present:
        yield present


def result_digest(parameters: AnnotateTaskParameters, labels: tuple[Label, ...]) -> str:
    """Return a digest of the options and labels, which decide a frame's annotations.

    The function and the image decide them, too, but are not part of this digest. It starts with
    the digest of the options. A sweep compares only that part, so it does not need every task's
    labels.
    """
    shape = json.dumps(_without_ids(labels))
    return parameters.result_digest() + hashlib.sha256(shape.encode()).hexdigest()[:16]


def _without_ids(labels: tuple[Label, ...]) -> list[object]:
    """Return what decides how a function is matched: ids change if the task moves to a project."""
    return [
        [
            label.name,
            label.type,
            [[one.name, one.input_type, one.values] for one in label.attributes],
            _without_ids(label.sublabels),
        ]
        for label in labels
    ]
