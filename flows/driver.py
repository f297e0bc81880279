"""`annotate_task`, a drop-in for `cvat_sdk.auto_annotation.annotate_task` that runs the flow.

Source of the behaviour: cvat_sdk/auto_annotation/driver.py of cvat-sdk 2.80. Unlike it, a second
run of the same function over the same task does not put the same annotations there again.
"""

from __future__ import annotations

from typing import Any, cast

from cvat_sdk import Client
from cvat_sdk.api_client.exceptions import ApiException
from cvat_sdk.core.progress import NullProgressReporter, ProgressReporter
from cvat_sdk.datasets import UnsupportedDatasetError

from aa_functions import BadFunctionError
from aa_functions.reference import wrap_function
from cvat_flows.flows.annotate import FramesFailed
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.cvat.task import TaskHasNoData
from cvat_flows.tasks.matching.result import SpecMismatch
from cvat_flows.tasks.model.frames import Failure


def annotate_task(
    client: Client,
    task_id: int,
    function: Any,
    *,
    pbar: ProgressReporter | None = None,
    clear_existing: bool = False,
    allow_unmatched_labels: bool = False,
    conf_threshold: float | None = None,
    conv_mask_to_poly: bool = False,
) -> None:
    """Annotate a CVAT task with a live function object, all frames or none.

    The flow runs in this process and strictly: the first frame at fault ends it and nothing is
    uploaded. Works with or without a Prefect server set up.

    Args:
        client: Makes all requests to CVAT.
        function: A detection function: an object (or module) with `spec` and `detect`.
        pbar: Told of the progress, in frames.
        clear_existing: Remove the annotations that are there; otherwise they are kept.
        allow_unmatched_labels: Drop what uses labels, sublabels or attributes that the task
            lacks, instead of refusing the function.
        conf_threshold: Passed to the function in its context; 0 to 1.
        conv_mask_to_poly: Passed to the function in its context; masks are then refused.

    Raises:
        BadFunctionError: if the spec does not fit the task, or an output breaks the protocol.
        ValueError: if `conf_threshold` is outside 0 to 1.
    """
    if conf_threshold is not None and not 0 <= conf_threshold <= 1:
        raise ValueError("conf_threshold must be None or a number between 0 and 1")
    inputs = LiveInputs(
        client=client,
        function=wrap_function(function),
        progress=_Reported(pbar or NullProgressReporter()),
        strict=True,
    )
    parameters = AnnotateTaskParameters(
        task_id=task_id,
        function=inputs.function.title if inputs.function else "",
        clear_existing=clear_existing,
        allow_unmatched_labels=allow_unmatched_labels,
        conf_threshold=conf_threshold,
        conv_mask_to_poly=conv_mask_to_poly,
        max_failed_frames=0,
        max_shapes_per_frame=None,
        detect_timeout=None,
    )
    finished = run_here(parameters, inputs)
    if finished.report:
        for row in finished.report.match:
            if row.status == "ignored":
                client.logger.info(row.sdk_message)
    if finished.error is not None:
        raise _as_the_sdk_has_it(finished.error)


def _as_the_sdk_has_it(error: BaseException) -> BaseException:
    """The exception that the SDK's driver raises for the same reason."""
    if isinstance(error, FramesFailed):
        failure = error.report.failures[error.report.failed[0].frame]
        return BadFunctionError(failure.error) if _is_of_the_function(failure) else error
    if isinstance(error, SpecMismatch):
        return cast(BaseException, BadFunctionError(error.in_sdk_words()))
    if isinstance(error, TaskHasNoData):
        return cast(BaseException, UnsupportedDatasetError(str(error)))
    if isinstance(error.__cause__, ApiException):
        return cast(BaseException, error.__cause__)
    return error


def _is_of_the_function(failure: Failure) -> bool:
    return failure.step in ("validate", "remap")


class _Reported:
    """The flow's progress on a progress reporter of the SDK."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self._reporter = reporter
        self._open = False

    def start(self, total: int, description: str) -> None:
        self._reporter.start2(total=total, unit="samples")
        self._open = True

    def advance(self, frames: int) -> None:
        self._reporter.advance(frames)

    def finish(self) -> None:
        if self._open:
            self._reporter.finish()
            self._open = False
