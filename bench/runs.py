"""Timed runs: of the SDK's driver, and of ours with and without a Prefect server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from attrs import frozen

from aa_functions.reference import FunctionReference, load_function
from bench.stage import Stage
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs


@frozen(kw_only=True)
class Function:
    """A function by module name and parameters."""

    module: str
    parameters: dict[str, Any]

    def load(self) -> Any:
        reference = FunctionReference(module=self.module, parameters=self.parameters)
        return load_function(reference)


CONSTANT = Function(module="bench.constant_box", parameters={})
WAITING = Function(module="bench.waiting_box", parameters={})


def sdk_run(stage: Stage, task_id: int, function: Any) -> float:
    """Return the seconds of the SDK's `annotate_task` with an empty cache."""
    client = stage.client()
    begin = time.perf_counter()
    cvataa.annotate_task(client, task_id, function, allow_unmatched_labels=True)
    return time.perf_counter() - begin


def flow_run(stage: Stage, task_id: int, function: Any, **options: Any) -> float:
    """Return the seconds of a run, from the call to its end."""
    client = stage.client()
    parameters = _parameters(task_id, **options)
    begin = time.perf_counter()
    finished = run_here(parameters, LiveInputs(client=client, function=function))
    seconds = time.perf_counter() - begin
    if finished.error is not None:
        raise finished.error
    return seconds


def recorded_run(stage: Stage, task_id: int, function: Any, prefect: str) -> float:
    """Return the seconds of the Prefect flow, with the server at that address."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: f"{prefect}/api"}):
        return flow_run(stage, task_id, function)


def _parameters(task_id: int, **options: Any) -> AnnotateTaskParameters:
    return AnnotateTaskParameters(
        task_id=task_id, function="bench", allow_unmatched_labels=True, **options
    )


def alternate(rounds: int, *kinds: Callable[[], float]) -> list[list[float]]:
    """Run each kind once a round, so that other load on the machine affects all kinds alike.

    Returns:
        For each kind the seconds of its runs.
    """
    seconds: list[list[float]] = [[] for _ in kinds]
    for _ in range(rounds):
        for kind, measured in zip(kinds, seconds, strict=True):
            measured.append(kind())
    return seconds


def median(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds)
