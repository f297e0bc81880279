"""`cvat-flows preview`: show what annotating would do, on a page, and write nothing to CVAT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from cvat_flows.flows.commands.annotate import TerminalProgress, show
from cvat_flows.flows.commands.command import (
    Command,
    UsageError,
    add_task_arguments,
    build,
    task_values,
    use_server_arguments,
)
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.reports.preview import MAX_PICTURES
from cvat_flows.tasks.storage import open_storage

_APART = {
    "task_id",
    "function",
    "function_parameters",
    "dry_run",
    "max_failed_frames",
    "split",
    "split_runs",
    "wait_for_writer",
}
_EVERY_FRAME_MAY_FAIL = 10**9


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_arguments(parser, without=_APART)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the page (default: preview-TASK_ID.html)",
    )
    parser.add_argument(
        "--lowest-score",
        type=float,
        metavar="SCORE",
        help="ask the function for detections down to this score, so that the slider can go below "
        "--conf-threshold",
    )


def run(arguments: argparse.Namespace) -> int:
    values = task_values(arguments, without=_APART)
    parameters = build(
        AnnotateTaskParameters,
        {
            **_with_lowest_score(values, arguments.lowest_score),
            "dry_run": True,
            "max_failed_frames": _EVERY_FRAME_MAY_FAIL,
        },
    )
    use_server_arguments(arguments)
    finished = run_here(
        parameters,
        LiveInputs(progress=TerminalProgress(), include_done=True, max_frames=MAX_PICTURES),
    )
    report = finished.report_or_raise()
    show(report, finished.url)
    page = next((path for _, path in report.files if path.endswith(".html")), None)
    content = open_storage().read(page) if page else None
    if content is None:
        raise RuntimeError("the page could not be written to the storage; the run's log says why")
    output = arguments.output or Path(f"preview-{parameters.task_id}.html")
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written ({error.strerror})") from error
    Console().print(f"page         {output.absolute()}", soft_wrap=True, highlight=False)
    return 1 if finished.error else 0


def _with_lowest_score(values: dict[str, Any], lowest: float | None) -> dict[str, Any]:
    """Detect from `lowest` on, and let the threshold that was asked for decide what would be
    created, as the labels' own thresholds do: after the model."""
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
    help=f"Show on a page what annotating would do (up to {MAX_PICTURES} frames); write "
    "nothing to CVAT.",
    configure=configure,
    run=run,
)
