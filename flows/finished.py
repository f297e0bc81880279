"""How a run of annotate-task ended."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cvat_flows.flows.annotate import FramesFailed
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.reports.run_report import RunReport


@frozen(kw_only=True)
class Finished:
    """How a run ended."""

    report: RunReport | None
    """None if the run ended before its first frame."""
    error: BaseException | None
    run_id: str
    url: str | None = None
    """Address of the run in the Prefect UI; None without a Prefect server."""

    def report_or_raise(self) -> RunReport:
        """Return the report. Raises the error of a run that ended before its first frame."""
        if self.report is None:
            raise self.error or RuntimeError("the flow ended without a report")
        return self.report


def finished(run_id: str, result: RunReport | BaseException, url: str | None = None) -> Finished:
    """Return how a run ended that returned or raised `result`."""
    error = result if isinstance(result, BaseException) else None
    report = result.report if isinstance(result, FramesFailed) else result
    return Finished(
        report=report if isinstance(report, RunReport) else None,
        error=error,
        run_id=run_id,
        url=url,
    )


RunTask = Callable[[AnnotateTaskParameters, LiveInputs], Finished]
"""Annotates one CVAT task. Never raises an error of the run."""
