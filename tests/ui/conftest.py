"""Fixtures of the tests in a browser: a Prefect server, a sandbox CVAT and a deployment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from cvat_sdk import Client, Config, models
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_UI_URL,
    temporary_settings,
)

from aa_functions.training.shape_images import make_shape_images
from cvat_flows.deployments.local_server import local_prefect
from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.waiting import wait_until

CHROMIUM = "/usr/bin/chromium"
# For root, without a graphics card, and without the services that Chromium calls by default.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HOSTILE_NAME = "a|b `c` <img src=x onerror=alert(1)> [l](http:evil) 0005.jpg"
HOSTILE_ERROR = "no | <img src=x onerror=alert(1)> [l](http://evil.example) `x` \\| &lt; **b**"

FUNCTION = f'''
"""Finds one box. Frames 3 and 5 fail while the marker file exists."""
from pathlib import Path
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

MARKER = Path(__file__).with_name("fail")


def create():
    def detect(context, image):
        if MARKER.exists():
            if "0003" in context.frame_name:
                raise ValueError({HOSTILE_ERROR!r})
            if "0005" in context.frame_name:
                return [rectangle(0, [500, 300, 700, 420], score=0.5)]
        return [rectangle(0, [200, 150, 440, 330], score=0.75)]

    spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])
    return SimpleNamespace(spec=spec, detect=detect)
'''


@define(kw_only=True)
class Installation:
    """Servers and a CVAT task, of which three frames of twelve fail while `marker` exists."""

    url: str
    sandbox: SandboxProcess
    task: Any
    marker: Path

    def base(self, ui: str) -> str:
        return f"{self.url}/v2" if ui == "v2" else self.url

    def annotate(self) -> Any:
        """Start a run of the deployment, wait for its end and return it."""
        with get_client(sync_client=True) as prefect:
            deployment = wait_until(lambda: deployment_of(prefect), what="the deployment")
            run = prefect.create_flow_run_from_deployment(
                deployment.id,
                parameters={
                    "task_id": self.task.id,
                    "function": str(self.marker.with_name("flaky.py")),
                    "advanced": {"geometry": "fail", "max_failed_frames": 5},
                },
            )
            return wait_until(lambda: ended(prefect, run.id), what="the end of the run")

    def state_of(self, run: Any) -> Any:
        with get_client(sync_client=True) as prefect:
            return prefect.read_flow_run(run.id).state

    def artifacts(self, run: Any) -> list[Any]:
        with get_client(sync_client=True) as prefect:
            return prefect.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
            )

    def artifact(self, run: Any, what: str) -> Any:
        """Return the run's artifact whose key contains `what`."""
        (found,) = [one for one in self.artifacts(run) if one.key and f"-{what}-" in one.key]
        return found


def deployment_of(prefect: Any) -> Any:
    try:
        return prefect.read_deployment_by_name("annotate-task/ui")
    except ObjectNotFound:
        return None


def ended(prefect: Any, run_id: Any) -> Any:
    run = prefect.read_flow_run(run_id)
    return run if run.state and run.state.is_final() else None


# Not session-scoped: while a browser is open, its event loop runs in the main thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"{CHROMIUM} is missing (Debian's package chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Installation]:
    """A deployment `annotate-task/ui` and a CVAT task for it."""
    folder = tmp_path_factory.mktemp("ui")
    before = dict(os.environ)
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    try:
        with (
            SandboxProcess(folder / "sandbox") as sandbox,
            local_prefect(folder) as url,
            temporary_settings(
                {
                    PREFECT_API_URL: f"{url}/api",
                    PREFECT_UI_URL: url,
                    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
                }
            ),
        ):
            task = make_cvat_task(sandbox, folder)
            (folder / "flaky.py").write_text(FUNCTION)
            marker = folder / "fail"
            marker.touch()
            made = Installation(url=url, sandbox=sandbox, task=task, marker=marker)
            with serve_deployment(made, folder):
                yield made
    finally:
        os.environ.clear()
        os.environ.update(before)


def make_cvat_task(sandbox: SandboxProcess, folder: Path) -> Any:
    images = []
    pictures = folder / "images"
    pictures.mkdir()
    for n, made in enumerate(make_shape_images(12, seed=7, sizes=((640, 480),))):
        name = HOSTILE_NAME if n == 5 else f"img_{n:04d}.jpg"
        made.image.save(pictures / name)
        images.append(pictures / name)
    config = Config(status_check_period=0.1, cache_dir=folder / "sdk")
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(("admin", "admin"))
        project = client.projects.create(
            spec=models.ProjectWriteRequest(
                name="traffic", labels=[models.PatchedLabelRequest(name="car")]
            )
        )
        task = client.tasks.create_from_data(
            spec=models.TaskWriteRequest(name="street-cams-04", project_id=project.id),
            resources=images,
            data_params={"sorting_method": "predefined"},
        )
        sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 8}])
        return task


@contextmanager
def serve_deployment(installation: Installation, folder: Path) -> Iterator[None]:
    """Run a process that serves the deployment `annotate-task/ui`."""
    code = (
        "from cvat_flows.flows.prefect_flows import annotate_task_flow as f; "
        "f.serve(name='ui', print_starting_message=False)"
    )
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PREFECT_API_URL": f"{installation.url}/api",
                "PREFECT_RUNNER_POLL_FREQUENCY": "1",
                "CVAT_HOST": installation.sandbox.url,
                "CVAT_USER": "admin",
                "CVAT_PASSWORD": "admin",
                "CVAT_FLOWS_STORAGE": str(folder / "storage"),
            },
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
