"""Declare a step of a run, and run it with the current engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from attrs import frozen

from cvat_flows.tasks.engine.current import current_engine
from cvat_flows.tasks.engine.definition import StepDefinition
from cvat_flows.tasks.engine.engine import StepRun

P = ParamSpec("P")
R = TypeVar("R")


@frozen(eq=False)
class Step(Generic[P, R]):
    """A step. How it runs, the current engine decides."""

    definition: StepDefinition

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step in this thread, and return what it returns."""
        result: R = current_engine().call(self.definition, args, kwargs)
        return result

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> StepRun:
        """Run the step in another thread."""
        return current_engine().submit(self.definition, args, kwargs)

    def submit_after(self, before: Sequence[StepRun], *args: P.args, **kwargs: P.kwargs) -> StepRun:
        """Run the step in another thread when the runs in `before` have completed.

        If one of them fails, this one does not start.
        """
        return current_engine().submit(self.definition, args, kwargs, after=before)


def step(
    *, retry_delays: Sequence[float] = (), **policy: Any
) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Declare a function as a step; see StepDefinition for the arguments.

    >>> @step(name="double", run_name="double {number}")
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(4)
    8
    """

    def declare(function: Callable[P, R]) -> Step[P, R]:
        return Step(StepDefinition(function=function, retry_delays=tuple(retry_delays), **policy))

    return declare
