"""Run the steps as Prefect task runs of the current flow run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache, wraps
from typing import Any

from attrs import field, frozen
from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed, Failed

from cvat_flows.tasks.engine.definition import Ending, StepDefinition
from cvat_flows.tasks.engine.engine import Logger, StepRun
from cvat_flows.tasks.engine.prefect_log import filter_log
from cvat_flows.tasks.model.errors import FrameFailed, StepCancelled
from cvat_flows.tasks.model.text import on_one_line


@frozen(eq=False)
class RecordedStepRun:
    """A step as a Prefect task run."""

    future: PrefectFuture[Any]
    over: threading.Event = field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.future.add_done_callback(lambda future: self.over.set())

    def is_over(self) -> bool:
        return self.over.is_set()

    def wait(self, seconds: float | None = None) -> None:
        self.future.wait(seconds)

    def completed(self) -> bool:
        return self.future.state.is_completed()

    def result(self) -> Any:
        return self.future.result()


class RecordedEngine:
    """Runs steps as task runs of the current flow run. Use it inside a flow."""

    is_recorded = True

    def __init__(self) -> None:
        filter_log(str(flow_run.flow_name or ""))
        self._limits: dict[str, bool] = {}
        self._lock = threading.Lock()

    @property
    def is_deployed(self) -> bool:
        return bool(deployment.id)

    @property
    def is_repeated(self) -> bool:
        return bool(flow_run.run_count > 1)

    @property
    def run_id(self) -> str:
        return str(flow_run.id or "")

    @property
    def run_name(self) -> str:
        return str(flow_run.name or "")

    def name_run(self, name: str, tags: Sequence[str]) -> None:
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return
        run = context.flow_run
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags}))
        run.name = name
        run.tags = sorted({*run.tags, *tags})

    def logger(self) -> Logger:
        return get_run_logger()

    def call(self, step: StepDefinition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return self._task(step)(*args, **kwargs)

    def submit(
        self,
        step: StepDefinition,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        after: Sequence[StepRun] = (),
    ) -> RecordedStepRun:
        before = [run.future for run in after if isinstance(run, RecordedStepRun)]
        future = self._task(step).submit(*args, **kwargs, wait_for=before, return_state=False)
        return RecordedStepRun(future)

    def has_limit(self, step: StepDefinition) -> bool:
        """Return whether the server limits the tag. A later limit counts from the next run on."""
        if step.tag is None:
            return False
        with self._lock:
            if step.tag not in self._limits:
                self._limits[step.tag] = _read_limit(step.tag)
            return self._limits[step.tag]

    def is_last_attempt(self) -> bool:
        context = TaskRunContext.get()
        return context is None or context.task_run.run_count > context.task.retries

    def _task(self, step: StepDefinition) -> Task[..., Any]:
        return _task(step, tagged=step.tag is None or self.has_limit(step))


@cache
def _task(step: StepDefinition, *, tagged: bool) -> Task[..., Any]:
    """Return the Prefect task of a step.

    A run that starts with a tag asks the server for a slot, even if the tag has no limit: two
    requests, and seconds where SQLite is busy. Without a limit, the run gets its tag after it has
    started (`tagged` is false).
    """

    @wraps(step.function)
    def work(*args: Any, **kwargs: Any) -> Any:
        context = TaskRunContext.get()
        if context is not None and step.tag and not tagged:
            context.task_run.tags = sorted({*context.task_run.tags, step.tag})
        try:
            result = step.function(*args, **kwargs)
        except StepCancelled as cancelled:
            return Cancelled(message=str(cancelled))
        except FrameFailed as error:
            # A returned state has a sentence as its message, and no traceback in the log.
            return Failed(message=on_one_line(str(error)), data=error)
        if isinstance(result, Ending):
            return Completed(name=result.state or None, message=result.message, data=result)
        return result

    def should_retry(task: Any, task_run: Any, state: State[Any]) -> bool:
        error: Any = state.result(raise_on_failure=False)
        return isinstance(error, BaseException) and step.should_retry(error)

    # Prefect caches nothing: labels can change, and detections are cached for each frame,
    # independent of its batch (tasks.detect.cache).
    declare = task(
        name=step.name,
        task_run_name=step.run_name,
        tags=[step.tag] if step.tag and tagged else [],
        retries=len(step.retry_delays),
        # A run that holds a slot does not pause: others may be waiting for it, and the wait for the
        # slot was a pause.
        retry_delay_seconds=0 if step.tag and tagged else list(step.retry_delays) or 0,
        retry_jitter_factor=step.jitter or None,
        retry_condition_fn=should_retry if step.retry_delays else None,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return declare(work)


def _read_limit(tag: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(f"tag:{tag}")
        except ObjectNotFound:
            return False
    return True
