"""What is known of a step: what it does, and how it is named, tagged and retried."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from attrs import frozen


def _never(error: BaseException) -> bool:
    return False


@frozen(kw_only=True)
class Ending:
    """What a step may return to say how it ended. Prefect shows it as the state of the task run.

    Attributes:
        state: Name of the state, for example "Cached". Empty: "Completed".
        message: One sentence.
    """

    message: str
    state: str = ""


@frozen(kw_only=True, eq=False)
class StepDefinition:
    """A step and its policy, the same for every way of running it.

    Args:
        function: Does the work.
        name: Name of the Prefect task.
        run_name: Template of the name of one run, filled with the function's arguments.
        retry_delays: Seconds before each retry.
        jitter: Each delay grows by a random share of up to this much.
        should_retry: Whether a retry can help after an error.
        tag: Tag of the Prefect task runs. A concurrency limit on it limits the step.
    """

    function: Callable[..., Any]
    name: str
    run_name: str
    retry_delays: tuple[float, ...] = ()
    jitter: float = 0.0
    should_retry: Callable[[BaseException], bool] = _never
    tag: str | None = None

    def name_of_run(self, *args: Any, **kwargs: Any) -> str:
        """Return the name of a run with these arguments."""
        bound = signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return self.run_name.format(**bound.arguments)
