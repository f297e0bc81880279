"""Which lines of Prefect's task engine the filter keeps.

These tests run real tasks. They fail if a new version of Prefect logs something else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.logging import get_run_logger
from prefect.logging.loggers import flow_run_logger
from prefect.states import Failed

from aa_functions import FunctionReferenceError
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.engine.prefect_log import filter_log

LogLines = Callable[..., list[tuple[str, bool]]]


@task(persist_result=False)
def succeed() -> None:
    return


@task(persist_result=False)
def write_a_line() -> None:
    get_run_logger().info("a line of the task's own")


@task(persist_result=False)
def raise_an_error_of_ours() -> None:
    raise FunctionHangs("the function hangs")


@task(persist_result=False, retries=1)
def return_a_failed_state() -> Any:
    return Failed(message="the image is damaged")


@task(persist_result=False)
def raise_an_unexpected_error() -> None:
    raise ZeroDivisionError("division by zero")


@task(persist_result=False, retries=1)
def succeed_on_the_second_attempt(attempts: list[int]) -> None:
    attempts.append(1)
    if len(attempts) == 1:
        raise ConnectionError("CVAT does not answer")


@pytest.fixture
def log_lines(prefect_server: None) -> Iterator[LogLines]:
    """`log_lines(task, *arguments)` runs a task and returns its lines: text, has a traceback."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("prefect.task_runs")
    logger.addHandler(handler)
    for _ in range(2):
        filter_log("annotate-task")

    def run(step: Any, *arguments: Any, name: str = "annotate-task") -> list[tuple[str, bool]]:
        records.clear()

        @flow(name=name, persist_result=False)
        def call_step() -> None:
            step.submit(*arguments).wait()

        call_step()
        return [(line.getMessage(), bool(line.exc_info)) for line in records]

    yield run
    logger.removeHandler(handler)


def test_successful_task_runs_write_no_line(log_lines: LogLines) -> None:
    assert log_lines(succeed) == []
    assert log_lines(write_a_line) == [("a line of the task's own", False)]


def test_a_failed_task_run_writes_one_line_without_a_traceback(log_lines: LogLines) -> None:
    ((text, has_traceback),) = log_lines(raise_an_error_of_ours)
    assert "the function hangs" in text
    assert not has_traceback
    ((text, has_traceback),) = log_lines(return_a_failed_state)
    assert "the image is damaged" in text
    assert not has_traceback


def test_an_unexpected_error_keeps_its_traceback(log_lines: LogLines) -> None:
    lines = log_lines(raise_an_unexpected_error)
    assert [has_traceback for _, has_traceback in lines] == [True, False]
    assert all("division by zero" in text for text, _ in lines)


def test_a_retry_after_an_exception_is_logged(log_lines: LogLines) -> None:
    ((text, _),) = log_lines(succeed_on_the_second_attempt, [])
    assert "CVAT does not answer" in text


@task(persist_result=False)
def say_the_password() -> None:
    get_run_logger().info("the server said %s\x1b[2J", os.environ["CVAT_PASSWORD"])
    raise ConnectionError(f"refused {os.environ['CVAT_PASSWORD']}")


def test_no_line_contains_a_credential(
    log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_PASSWORD", "correct-horse-battery")
    filter_log("annotate-task")
    lines = log_lines(say_the_password)
    assert any("the server said ***\N{REPLACEMENT CHARACTER}[2J" in text for text, _ in lines)
    assert not any("correct-horse-battery" in text for text, _ in lines)


@pytest.fixture
def flow_records(prefect_server: None) -> Iterator[list[logging.LogRecord]]:
    """The records of flow runs that the filters let pass."""
    filter_log("annotate-task")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [
        (FunctionHangs("the function hangs"), False),
        (FunctionReferenceError("no such function"), False),
        (ZeroDivisionError("division by zero"), True),
    ],
)
def test_a_flow_run_of_a_worker_ends_without_a_traceback_of_ours(
    error: Exception, has_traceback: bool, flow_records: list[logging.LogRecord]
) -> None:
    @flow(name="annotate-task", persist_result=False)
    def fail() -> Any:
        return Failed(message=str(error), data=error)

    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(fail)
    flow_records.clear()
    with pytest.raises(type(error)):  # as Prefect runs a flow for a worker
        run_flow(fail, flow_run=flow_run, error_logger=flow_run_logger(flow_run))
    assert any(str(error) in record.getMessage() for record in flow_records)
    assert any(record.exc_info for record in flow_records) is has_traceback


@pytest.mark.parametrize(
    ("name", "lines_about_hooks"), [("annotate-task", 0), ("a flow of the user's", 2)]
)
def test_hooks_of_our_flows_write_no_lines(
    flow_records: list[logging.LogRecord], name: str, lines_about_hooks: int
) -> None:
    def look_after(*_: Any) -> None:
        return

    def break_down(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    @flow(name=name, persist_result=False, on_failure=[look_after])
    def fail() -> Any:
        return Failed(message="1 of 1 frame failed")

    fail(return_state=True)
    texts = [record.getMessage() for record in flow_records]
    fail.on_failure_hooks[:] = [break_down]
    fail(return_state=True)
    assert sum("look_after" in text for text in texts) == lines_about_hooks
    assert any("1 of 1 frame failed" in text for text in texts)
    # A hook that fails is worth a line.
    assert any("break_down" in record.getMessage() and record.exc_info for record in flow_records)


def test_other_flows_keep_their_log(log_lines: LogLines) -> None:
    assert len(log_lines(succeed, name="a flow of the user's")) == 1
