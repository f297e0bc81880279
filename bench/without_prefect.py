"""Run the flow's code without Prefect. The time that this saves is Prefect's share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from attrs import frozen
from prefect import Task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from cvat_flows.flows.run import context, detect, log, prepare, progress, report, upload
from cvat_flows.tasks.reports import artifacts


@frozen
class _PlainFuture:
    """The part of Prefect's futures that the flow uses."""

    _future: Future[Any]

    @property
    def state(self) -> State[Any]:
        return Failed() if self._future.exception() else Completed()

    def wait(self) -> None:
        self._future.exception()

    def result(self) -> Any:
        return self._future.result()


@frozen
class _PlainTask:
    """A task's function. `submit` runs it in a thread, after other futures if required."""

    _function: Callable[..., Any]
    _threads: ThreadPoolExecutor

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._function(*arguments, **options)

    def submit(
        self, *arguments: Any, wait_for: Sequence[_PlainFuture] = (), return_state: bool = False
    ) -> _PlainFuture:
        def run() -> Any:
            for future in wait_for:
                future.result()
            return self._function(*arguments)

        return _PlainFuture(self._threads.submit(run))


@contextmanager
def without_prefect() -> Iterator[None]:
    """Make `cvat_flows.flows.annotate.annotate` use plain threads in the block.

    Only requests to the Prefect server are left out: states of runs, slots of limits, events, log
    lines and storing artifacts. The texts and pictures of artifacts are created.
    """
    logger = logging.getLogger(__name__)
    with ThreadPoolExecutor(detect.THREADS) as threads, ExitStack() as patches:
        for module in (context, detect, prepare, upload):
            for name, value in list(vars(module).items()):
                if isinstance(value, Task):
                    task = _PlainTask(value.fn, threads)
                    patches.enter_context(patch.object(module, name, task))
        patches.enter_context(
            patch.object(detect, "choose_detect_task", lambda: detect.detect_unlimited)
        )
        for module in (report, progress, log, artifacts):
            patches.enter_context(patch.object(module, "get_run_logger", lambda: logger))
        for name in ("create_markdown_artifact", "create_progress_artifact"):
            patches.enter_context(patch.object(artifacts, name, lambda *_, **__: None))
        patches.enter_context(patch.object(report, "last_description", lambda key: None))
        yield
