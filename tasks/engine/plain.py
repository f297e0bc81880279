"""Run the steps in threads, with their retries, and without a Prefect server."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from typing import Any
from uuid import uuid4

from attrs import frozen

from cvat_flows.tasks.engine.definition import StepDefinition
from cvat_flows.tasks.engine.engine import StepRun
from cvat_flows.tasks.model.credentials import remember_environment
from cvat_flows.tasks.model.log_filter import CleanFilter

MAX_RUNNING = 20
"""Steps that run at the same time."""

_CLEAN_FILTER = CleanFilter()
_last_attempt: ContextVar[bool] = ContextVar("last_attempt", default=True)


class NotStarted(Exception):
    """A step did not start, because one that it needs has failed."""


@frozen(eq=False)
class PlainStepRun:
    """A step in a thread."""

    future: Future[Any]

    def wait(self, seconds: float | None = None) -> None:
        wait([self.future], seconds)

    def is_over(self) -> bool:
        return self.future.done()

    def completed(self) -> bool:
        return self.future.done() and self.future.exception() is None

    def result(self) -> Any:
        return self.future.result()


class PlainEngine:
    """Runs steps in threads that do not keep the process alive."""

    is_recorded = False
    is_deployed = False
    is_repeated = False

    def __init__(self) -> None:
        self.run_id = str(uuid4())
        self.run_name = ""
        self._slots = threading.Semaphore(MAX_RUNNING)
        remember_environment()
        self.logger().addFilter(_CLEAN_FILTER)

    def name_run(self, name: str, tags: Sequence[str]) -> None:
        self.run_name = name

    def logger(self) -> logging.Logger:
        return logging.getLogger("cvat_flows.run")

    def call(self, step: StepDefinition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        for delay in step.retry_delays:
            token = _last_attempt.set(False)
            try:
                return step.function(*args, **kwargs)
            except Exception as error:
                if not step.should_retry(error):
                    raise
                name = step.name_of_run(*args, **kwargs)
                self.logger().info("%s: %s; trying again", name, error)
            finally:
                _last_attempt.reset(token)
            time.sleep(delay * (1 + random.random() * step.jitter))
        return step.function(*args, **kwargs)

    def submit(
        self,
        step: StepDefinition,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        after: Sequence[StepRun] = (),
    ) -> PlainStepRun:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                for run in after:
                    run.wait()
                    if not run.completed():
                        raise NotStarted(step.name_of_run(*args, **kwargs))
                with self._slots:
                    future.set_result(self.call(step, args, kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(
            target=copy_context().run, args=(work,), name=f"step-{step.name}", daemon=True
        ).start()
        return PlainStepRun(future)

    def has_limit(self, step: StepDefinition) -> bool:
        return False

    def is_last_attempt(self) -> bool:
        return _last_attempt.get()
