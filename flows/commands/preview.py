"""`cvat-flows preview`: show what annotating would do, on a page with pictures. Nothing is
written to CVAT.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cvat_flows.flows.commands.arguments.model_options import build
from cvat_flows.flows.commands.arguments.server_options import use_server_arguments
from cvat_flows.flows.commands.arguments.task_arguments import add_task_arguments, task_values
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.run_output import progress_for, show_run
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.reports.preview import MAX_PICTURES
from cvat_flows.tasks.storage import open_storage

_NOT_OPTIONS = {
    "dry_run",
    "max_failed_frames",
    "split",
    "split_runs",
    "wait_for_writer",
}
_ALL_FRAMES = 10**9


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_arguments(parser, exclude=_NOT_OPTIONS)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file for the page (default: preview-TASK_ID.html)",
    )
    parser.add_argument(
        "--lowest-score",
        type=float,
        metavar="SCORE",
        help="lowest score that the page's slider can show; pass it to the function instead of "
        "--conf-threshold",
    )


def run(arguments: argparse.Namespace) -> int:
    values = task_values(arguments, exclude=_NOT_OPTIONS)
    parameters = build(
        AnnotateTaskParameters,
        {
            **_with_lowest_score(values, arguments.lowest_score),
            "dry_run": True,
            "max_failed_frames": _ALL_FRAMES,
        },
    )
    use_server_arguments(arguments)
    require_prefect()
    destination = Output.of(arguments)
    finished = run_here(
        parameters,
        LiveInputs(progress=progress_for(destination), include_done=True, max_frames=MAX_PICTURES),
    )
    report = finished.report_or_raise()
    page = next((path for _, path in report.files if path.endswith(".html")), None)
    content = open_storage().read(page) if page else None
    if content is None:
        raise RuntimeError("the page could not be written to the storage: see the run's log")
    output = arguments.output or Path(f"preview-{parameters.task_id}.html")
    show_run(destination, report, finished.url, page=str(output.absolute()))
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written ({error.strerror})") from error
    destination.say(f"page: {output.absolute()}")
    return FAILED if finished.error else DONE


def _with_lowest_score(values: dict[str, Any], lowest: float | None) -> dict[str, Any]:
    """Detect down to `lowest`, and apply the threshold after the model, like label thresholds."""
    if lowest is None:
        return values
    threshold = build(AnnotateTaskParameters, {"task_id": 1, **values}).conf_threshold
    if threshold is None:
        return {**values, "conf_threshold": lowest}
    if lowest > threshold:
        raise UsageError(f"--lowest-score {lowest} is above --conf-threshold {threshold}")
    by_label = {
        label: max(score, threshold)
        for label, score in (values.get("label_thresholds") or {}).items()
    }
    return {
        **values,
        "conf_threshold": lowest,
        "label_thresholds": {WILDCARD: threshold, **by_label},
    }


COMMAND = Command(
    name="preview",
    configure=configure,
    run=run,
)
