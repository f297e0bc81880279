"""The benchmark without Prefect gives the same result as the flow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cvat_sdk import Client

from bench.without_prefect import without_prefect
from cvat_flows.flows.annotate import annotate
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from tests.flows.conftest import frames_of


def test_same_frames_are_annotated_and_same_frames_fail(
    client: Client, make_task: Callable[..., Any], function_file: Path, storage_folder: Path
) -> None:
    task = make_task(12, segment_size=5)
    parameters = AnnotateTaskParameters(
        task_id=task.id,
        function=str(function_file),
        function_parameters={"fail": "img_0005.jpg"},
        frames_per_run=3,
    )
    with use_live_inputs(LiveInputs(client=client)), without_prefect():
        report = annotate(parameters)
    assert report.sentence == (
        "11 of 12 frames annotated, 1 failed (1 function error): frame 5 img_0005.jpg"
    )
    assert frames_of(task) == [n for n in range(12) if n != 5]
