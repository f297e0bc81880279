"""Pages of the sandbox for a browser: links into CVAT lead somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cvat_sdk import models

from cvat_flows.deployments.sandbox.process import SandboxProcess


def get(url: str) -> httpx.Response:
    return httpx.get(url, follow_redirects=True, trust_env=False)


def test_from_the_tasks_to_a_frame_with_its_annotations(
    make_task: Callable[..., Any], sandbox: SandboxProcess
) -> None:
    name = "<b>&street"
    task = make_task(3, name=name)
    (label,) = task.get_labels()
    task.set_annotations(
        models.LabeledDataRequest(
            shapes=[
                models.LabeledShapeRequest(
                    type="rectangle", frame=1, label_id=label.id, points=[5.0, 6.0, 20.0, 30.0]
                )
            ]
        )
    )
    (job,) = task.get_jobs()
    start = get(sandbox.url)
    assert f'href="/tasks/{task.id}"' in start.text
    page = get(f"{sandbox.url}/tasks/{task.id}").text
    assert "&lt;b&gt;&amp;street" in page
    assert name not in page
    address = f"/tasks/{task.id}/jobs/{job.id}?frame=1"
    assert f'href="{address}"' in page
    frame = get(f"{sandbox.url}{address}")
    assert (frame.status_code, frame.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "data:image/jpeg;base64," in frame.text
    assert 'points="5,6 20,6 20,30 5,30"' in frame.text
    assert "<td>car</td><td>rectangle</td>" in frame.text
    other = get(f"{sandbox.url}/tasks/{task.id}/jobs/{job.id}?frame=2").text
    assert ("<td>car" in other, "previous" in other, ">next<" in other) == (False, True, False)


@pytest.mark.parametrize("path", ["tasks/999999", "tasks/{task}/jobs/999999", "{frame}=7"])
def test_what_is_not_there(
    make_task: Callable[..., Any], sandbox: SandboxProcess, path: str
) -> None:
    task = make_task(1)
    (job,) = task.get_jobs()
    frame = f"tasks/{task.id}/jobs/{job.id}?frame"
    page = get(f"{sandbox.url}/{path.format(task=task.id, frame=frame)}")
    assert (page.status_code, "no" in page.text) == (404, True)


def test_a_page_changes_nothing(make_task: Callable[..., Any], sandbox: SandboxProcess) -> None:
    task = make_task(1)
    answer = httpx.post(f"{sandbox.url}/tasks/{task.id}", trust_env=False)
    assert answer.status_code == 405
