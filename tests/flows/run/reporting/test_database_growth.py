"""Reports of ten thousand failed frames take little space in Prefect's database."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from cvat_sdk import Client
from prefect import flow, task
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from aa_functions.reference import FunctionReference, LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.reporting.report import publish, run_pictures
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.reports.artifacts import show_failed_frame
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.storage import open_storage
from tests.tasks.reports.report_factory import (
    annotated,
    failed,
    media_of,
    names_of,
    noise,
    rectangle,
    report_of,
)

FRAMES = 10_000
MOST_BYTES = 2_000_000


def stored() -> int:
    """Return the bytes of artifacts, of their latest versions and of their events."""
    path = str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition("///")[2]
    with closing(sqlite3.connect(path)) as database:
        counts = [
            database.execute(query).fetchone()[0] or 0
            for query in (
                "select sum(length(data)) from artifact",
                "select sum(length(data)) from artifact_collection",
                "select sum(length(payload) + length(resource) + length(related)) from events "
                "where event like 'prefect.artifact%'",
            )
        ]
    return sum(counts)


def settled() -> int:
    """Return the same when it has stopped growing: events come late."""
    before, now = -1, stored()
    while now != before:
        time.sleep(3)
        before, now = now, stored()
    return now


@task(name="frame", task_run_name="detect {outcome.frame}")
def fail_frame(pictures: RunPictures, outcome: Outcome) -> None:
    show_failed_frame(pictures, outcome)


@flow
def ten_thousand_failures(
    context: RunContext, run: AnnotationRun, report: RunReport, outcomes: list[Outcome]
) -> None:
    assert run.pictures
    with use_engine(RecordedEngine()):
        for outcome in outcomes[: MAX_SHOWN + 10]:
            fail_frame.submit(run.pictures, outcome).wait()
        publish(context, run, report)


def test_reports_of_ten_thousand_failed_frames_stay_below_two_megabytes(
    prefect_server: None,
    client: Client,
    storage_folder: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media = media_of([f"{'very_long_name_' * 20}{name}" for name in names_of(FRAMES + 20)])
    shapes = tuple(rectangle(n, n, n + 300, n + 200, label=0) for n in range(100))
    outcomes = [
        failed(
            media.frame(n),
            f"frame {n}: {'an error that goes on and on | ' * 30}",
            detail="Traceback (most recent call last):\n" + "  File 'some/where.py'\n" * 400,
            detections=shapes,
            at=50,
            step="validate",
        )
        for n in range(FRAMES)
    ]
    others = [annotated(media.frame(n), 30) for n in range(FRAMES, FRAMES + 20)]
    report = report_of(media, [*outcomes, *others])
    plan = Plan(
        batches=(Batch(index=0, frames=tuple(media.frame(n) for n in range(media.size))),),
        skipped=(),
    )
    function = LoadedFunction(
        function=None,
        reference=FunctionReference(module="aa_functions.yolov8n"),
        fingerprint="f" * 64,
        title="yolov8n",
        name="aa_functions.yolov8n",
    )
    context = RunContext(
        parameters=AnnotateTaskParameters(task_id=123),
        client=client,
        media=media,
        function=function,
        labels=report.labels,
        match=SpecMatch(labels={}),
        storage=open_storage(),
    )
    pictures = run_pictures(context, plan)
    nothing: Any = None
    run = AnnotationRun(
        client=client,
        media=media,
        match=context.match,
        source=nothing,
        cache=None,
        validation=nothing,
        remapping=nothing,
        runner=nothing,
        pictures=pictures,
    )
    monkeypatch.setattr(RunPictures, "_image", lambda self, frame: noise())
    pictures.add_outcomes(others)
    before = settled()
    ten_thousand_failures(context, run, report, outcomes)
    added = settled() - before
    assert len(pictures.failed) == MAX_SHOWN
    assert 300_000 < added < MOST_BYTES, f"{added:,} bytes"
