"""Let other workers detect on the later jobs of a CVAT task while the main run starts in front.

The main run processes all frames from first to last as always, and only it uploads. Each helper run
(flows.split.detect_jobs) processes its jobs from last to first and writes detections to the cache.
The result is the same as without helpers. A helper that crashes or never starts does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.split.parts import CannotSplit, split_plan
from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.run_report import RunReport

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


@contextmanager
def split_detection(context: RunContext, plan: Plan, report: RunReport) -> Iterator[None]:
    """Start helper runs for parts of the plan if the parameters say so. Raises CannotSplit.

    On exit, cancel the helpers that have not started, or all of them if the main run stopped.
    """
    function, parameters = context.function, context.parameters
    if parameters.split is None:
        yield
        return
    _check_splittable(function, parameters)
    from cvat_flows.flows.split.helpers import cancel_helpers, start_helper

    parts = split_plan(plan, parameters.split_runs + 1)[1:]
    runs: list[FlowRun] = []
    done = False
    try:
        for part in parts:
            runs.append(start_helper(part, function, parameters))
        run_logger().info("started %s to detect on later jobs", counted(len(runs), "flow run"))
        yield
        done = True
    finally:
        with suppress(Exception):  # A helper that goes on does no harm.
            cancel_helpers(runs, running=not done or report.stopped is not None)


def _check_splittable(function: LoadedFunction, parameters: AnnotateTaskParameters) -> None:
    if function.reference is None or function.fingerprint is None:
        raise CannotSplit(
            f"--split {parameters.split} needs a function that other workers can load from a "
            f"module or file, but {function.title!r} is a live object"
        )
    if function.needs_annotations:
        raise CannotSplit(
            f"--split {parameters.split} cannot be used with {function.title!r}, which needs what "
            "is on the frames already: remove --split"
        )
    if not parameters.use_cache:
        raise CannotSplit(
            f"--split {parameters.split} needs the cache of detections: remove --no-use-cache"
        )
    if parameters.fresh:
        raise CannotSplit(
            f"--split {parameters.split} takes the other workers' detections from the cache, which "
            "--fresh does not read: remove one of them"
        )
    if not current_engine().is_recorded:
        raise CannotSplit(
            f"--split {parameters.split} needs a Prefect server with workers, and none is "
            "configured: set PREFECT_API_URL, or remove --split"
        )
