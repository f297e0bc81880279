"""What runs the steps, and what a run can ask of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cvat_flows.tasks.engine.definition import StepDefinition

Logger = logging.Logger | logging.LoggerAdapter[Any]


class StepRun(Protocol):
    """A step that was submitted."""

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the run has ended, but no longer than `seconds`. Raises nothing."""

    def is_over(self) -> bool:
        """Return whether the run has ended."""

    def completed(self) -> bool:
        """Return whether the run has ended without an error."""

    def result(self) -> Any:
        """Wait for the run, and return what the step returned. Raises the step's error."""


class Engine(Protocol):
    """Runs the steps of one run. It is used by several threads."""

    @property
    def is_recorded(self) -> bool:
        """Whether a Prefect server records the run."""

    @property
    def is_deployed(self) -> bool:
        """Whether the run belongs to a deployment: nobody waits for it at a terminal."""

    @property
    def is_repeated(self) -> bool:
        """Whether a person has started this run again after it had ended."""

    @property
    def run_id(self) -> str: ...

    @property
    def run_name(self) -> str: ...

    def name_run(self, name: str, tags: Sequence[str]) -> None:
        """Give the run a name and tags."""

    def logger(self) -> Logger:
        """Return the log of the run, or of the current step."""

    def call(self, step: StepDefinition, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a step in this thread. Raises the step's error."""

    def submit(
        self,
        step: StepDefinition,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        after: Sequence[StepRun] = (),
    ) -> StepRun:
        """Run a step in another thread when the runs in `after` have completed."""

    def has_limit(self, step: StepDefinition) -> bool:
        """Whether a run of the step waits for a slot of the limit on its tag."""

    def is_last_attempt(self) -> bool:
        """Whether the current step has no retry left. True outside of a step."""
