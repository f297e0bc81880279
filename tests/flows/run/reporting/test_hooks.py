"""The last log line of a run that crashed or was cancelled says how to continue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run
from prefect.states import Cancelling, Crashed

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.prefect_flows import annotate_task_flow
from cvat_flows.flows.run.reporting.hooks import log_how_to_continue
from cvat_flows.tasks.record.lease_file import current_writer
from cvat_flows.tasks.storage import open_storage
from tests.support.identity import identity_of
from tests.support.prefect_records import flow_run_of, log_of


@pytest.fixture
def annotate(annotate_in_prefect: Any) -> Any:
    return annotate_in_prefect


@pytest.fixture
def lines(prefect_server: None) -> Iterator[list[str]]:
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(handler)
    yield seen
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("state", "dry_run", "expected"),
    [
        (Crashed(), False, "The run crashed. To continue: cvat-flows retry {id}. Annotations "),
        (Cancelling(), False, "The run was cancelled. To continue: cvat-flows retry {id}. "),
        (Cancelling(), True, "Nothing was written to CVAT"),
    ],
)
def test_the_line_names_the_commands(
    lines: list[str], state: State[Any], dry_run: bool, expected: str
) -> None:
    run = FlowRun(id=uuid4(), flow_id=uuid4(), parameters={"task_id": 7, "dry_run": dry_run})
    log_how_to_continue(annotate_task_flow, run, state)
    (line,) = lines
    assert expected.format(id=run.id) in line
    assert (f"cvat-flows undo 7 --run {run.id}" in line) == (not dry_run)


def test_an_interrupted_run_logs_the_line_and_releases_its_task(
    make_task: Callable[..., Any],
    annotate: Any,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(1)
    ids: list[str] = []

    def interrupt(*_: Any) -> None:
        ids.append(str(flow_run.id))
        raise KeyboardInterrupt

    monkeypatch.setattr("cvat_flows.flows.annotate.detect_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        annotate(task)
    interrupted = SimpleNamespace(run_id=ids[0])
    log_of(interrupted, f"cvat-flows retry {ids[0]}")
    assert flow_run_of(interrupted).state.is_crashed()
    assert current_writer(open_storage(), identity_of(task)) is None
