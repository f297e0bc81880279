"""`annotate_task`: a drop-in for `cvat_sdk.auto_annotation.annotate_task` that runs the flow.

It behaves like cvat_sdk/auto_annotation/driver.py of cvat-sdk 2.80, with one difference: a second
run of the same function on the same task adds no duplicates.
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
    """Annotate a CVAT task with a live function object: all frames or none.

    The flow runs in this process. The first frame that fails ends it, and nothing is uploaded. A
    Prefect server is not needed.

    Args:
        client: The client for all requests to CVAT.
        task_id: Id of the CVAT task.
        function: A detection function: an object or module with `spec` and `detect`.
        pbar: Receives the progress, in frames.
        clear_existing: Delete the existing annotations. By default they are kept.
        allow_unmatched_labels: Drop detections that use labels, sublabels or attributes that the
            task lacks. By default the function is rejected.
        conf_threshold: Confidence threshold from 0 to 1, passed to the function in its context.
        conv_mask_to_poly: Ask the function, in its context, for polygons instead of masks, and
            reject masks.

    Raises:
        BadFunctionError: The spec does not fit the task, or an output breaks the protocol.
        ValueError: `conf_threshold` is not between 0 and 1.
        UnsupportedDatasetError: The task has no data.
        ApiException: CVAT refused a request.
        Exception: Any exception that the function raised.

    >>> import aa_functions.shapes
    >>> annotate_task(client, task_id, aa_functions.shapes, conf_threshold=0.4)
    """
    if conf_threshold is not None and not 0 <= conf_threshold <= 1:
        raise ValueError("conf_threshold must be None or a number between 0 and 1")
    loaded = wrap_function(function)
    finished = run_here(
        AnnotateTaskParameters(
            task_id=task_id,
            function=loaded.title,
            clear_existing=clear_existing,
            allow_unmatched_labels=allow_unmatched_labels,
            conf_threshold=conf_threshold,
            conv_mask_to_poly=conv_mask_to_poly,
            max_failed_frames=0,
            max_shapes_per_frame=None,
            detect_timeout=None,
        ),
        LiveInputs(
            client=client,
            function=loaded,
            progress=_SdkProgress(pbar or NullProgressReporter()),
            strict=True,
        ),
    )
    if finished.report:
        for row in finished.report.match:
            if row.status == "ignored":
                client.logger.info(row.sdk_message)
    if finished.error is not None:
        raise _to_sdk_exception(finished.error)


def _to_sdk_exception(error: BaseException) -> BaseException:
    """Return the exception that the SDK's driver would raise."""
    found: Any = error
    if isinstance(error, FramesFailed):
        failure = error.report.failures[error.report.failed[0].frame]
        if failure.step in ("validate", "remap"):
            found = BadFunctionError(failure.error)
    elif isinstance(error, SpecMismatch):
        found = BadFunctionError(error.in_sdk_words())
    elif isinstance(error, TaskHasNoData):
        found = UnsupportedDatasetError(str(error))
    elif isinstance(error.__cause__, ApiException):
        found = error.__cause__
    return cast(BaseException, found)


class _SdkProgress:
    """Forwards the flow's progress to a progress reporter of the SDK."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self._reporter = reporter
        self._open = False

    def phase(self, text: str) -> None:
        return

    def start(self, total: int, description: str) -> None:
        self._reporter.start2(total=total, unit="samples")
        self._open = True

    def advance(self, frames: int) -> None:
        self._reporter.advance(frames)

    def finish(self) -> None:
        if self._open:
            self._reporter.finish()
            self._open = False
