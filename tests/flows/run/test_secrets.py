"""What Prefect stores about a run has no credentials in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Annotate
from tests.support.prefect_records import artifacts_of, flow_run_of, log_of, task_runs_of

SECRET = "correct-horse-battery-staple"
FUNCTION = f"""
from aa_functions import DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])


def detect(context, image):
    if context.frame_name == "img_0001.jpg":
        raise ValueError("refused redis://user:{SECRET}@host and {SECRET} \\x1b[2J")
    return [rectangle(0, [1, 1, 9, 9])]
"""


def test_an_error_that_quotes_a_password(
    make_task: Callable[..., Any],
    annotate_in_prefect: Annotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", f"admin:{SECRET}")
    file = tmp_path / "leaky.py"
    file.write_text(FUNCTION)
    finished = annotate_in_prefect(make_task(12), function=str(file), function_parameters={})
    runs = task_runs_of(finished, lambda runs: any(run.state_name == "Failed" for run in runs))
    flow_run = flow_run_of(finished)
    texts = [str(run.state.message) for run in runs if run.state] + [str(flow_run.state.message)]
    texts += [str(artifact.data) for artifact in artifacts_of(finished)]
    texts += [line.message for line in log_of(finished, "refused")]
    assert sum("refused" in text and "***" in text for text in texts) >= 3
    for text in texts:
        assert SECRET not in text
        assert "\x1b" not in text
