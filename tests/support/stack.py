"""A complete installation: a sandbox CVAT, a Prefect server and workers."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from contextvars import copy_context
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from attrs import define, field
from cvat_sdk import Client, models
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.form import flow_parameters
from cvat_flows.flows.parameters import AnnotateTaskParameters
from tests.support.live_prefect import LivePrefect
from tests.support.receiver_process import COMMAND, SECRET, ReceiverProcess, wait_for_receiver
from tests.support.waiting import HANG_TIMEOUT, wait_until

FUNCTION = '''
import os
import time
from pathlib import Path

import cvat_sdk.auto_annotation as cvataa


class OneCar:
    """Finds one car as large as the image, and fails on images 13 pixels wide.

    With `meet_in`, it first waits until two processes have left a file in that folder. With
    `wait_for`, it first waits until that file exists.
    """

    spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec("car", 0)])

    def __init__(self, seconds, meet_in, wait_for):
        self.seconds = seconds
        self.meet_in = meet_in
        self.wait_for = wait_for

    def meet(self):
        folder = Path(self.meet_in)
        folder.mkdir(exist_ok=True)
        (folder / str(os.getpid())).touch()
        self.wait_until(lambda: len(list(folder.iterdir())) >= 2)

    def wait_until(self, condition):
        end = time.monotonic() + 240
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)

    def detect(self, context, image):
        if self.meet_in:
            self.meet()
        if self.wait_for:
            self.wait_until(Path(self.wait_for).exists)
        time.sleep(self.seconds)
        if image.width == 13:
            raise RuntimeError("an image of this width makes me fail")
        return [cvataa.rectangle(0, [1, 1, image.width - 1, image.height - 1])]


def create(seconds=0.0, meet_in=None, wait_for=None):
    return OneCar(seconds, meet_in, wait_for)
'''


@define(kw_only=True)
class Stack:
    """An installation whose commands and workers use the sandbox, the storage and the server."""

    folder: Path
    prefect: LivePrefect
    sandbox: SandboxProcess
    client: Client
    env: dict[str, str] = field(factory=dict)
    function: Path = field(init=False)
    images: list[Path] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.function = self.folder / "one_car.py"
        self.function.write_text(FUNCTION)
        self.env = {
            "CVAT_HOST": self.sandbox.url,
            "CVAT_USER": "admin",
            "CVAT_PASSWORD": "admin",
            "CVAT_FLOWS_STORAGE": str(self.folder / "storage"),
            "CVAT_FLOWS_WEBHOOK_SECRET": SECRET,
            "CVAT_FLOWS_RULES": str(self.folder / "rules.yaml"),
            **self.env,
        }
        self.images = []
        for n in range(60):
            path = self.folder / f"img_{n:03d}.png"
            Image.new("RGB", (32, 24), (n * 4, 255 - n * 4, 90)).save(path)
            self.images.append(path)

    def cvat_flows(self, *arguments: str, expect: int = 0) -> str:
        """Run a command and return its output.

        It runs in this process: a new process would need seconds to import everything.
        """
        output, errors = StringIO(), StringIO()
        with (
            patch.dict(os.environ, {**self.prefect.env, **self.env}),
            self.prefect.use_here(),
            redirect_stdout(output),
            redirect_stderr(errors),
        ):
            # The options for the CVAT server are context variables.
            status = copy_context().run(main, arguments)
        assert status == expect, f"{arguments}: {output.getvalue()}{errors.getvalue()}"
        return output.getvalue()

    def is_set_up(self, *options: str) -> bool:
        """Whether `cvat-flows setup` with these options would change nothing."""
        return self.cvat_flows("setup", "--dry-run", *options).endswith("\nnothing to change\n")

    def worker(self, *arguments: str, **env: str) -> Any:
        return self.prefect.prefect(
            "worker", "start", "--pool", "cvat", *arguments, **{**self.env, **env}
        )

    def set_rules(self, *rules: dict[str, Any]) -> None:
        """Write the rules file of sweeps without own rules."""
        Path(self.env["CVAT_FLOWS_RULES"]).write_text(json.dumps(rules))

    def receiver(self, *options: str) -> ReceiverProcess:
        """Start `cvat-flows webhook`. It knows nothing of CVAT and of the rules."""
        number = len(self.prefect.processes)
        process = self.prefect.start([*COMMAND, *options], CVAT_FLOWS_WEBHOOK_SECRET=SECRET)
        return wait_for_receiver(process, self.prefect.log_path(number))

    def project(self, name: str) -> Any:
        return self.client.projects.create(
            spec=models.ProjectWriteRequest(
                name=name, labels=[models.PatchedLabelRequest(name="car")]
            )
        )

    def task(self, project: Any, *, frames: int = 6, jobs: int = 3, name: str = "drive") -> Any:
        return self.client.tasks.create_from_data(
            spec=models.TaskWriteRequest(
                name=name, project_id=project.id, segment_size=-(-frames // jobs)
            ),
            resources=self.images[:frames],
            data_params={"chunk_size": 2},
        )

    def webhooks(self, project: Any) -> list[dict[str, Any]]:
        rows = self._cvat("GET", f"/api/webhooks?project_id={project.id}").json()["results"]
        return list(rows)

    def register_webhook(self, project: Any, url: str, *events: str) -> None:
        """Register a webhook in CVAT, as a person would."""
        body = {"type": "project", "project_id": project.id, "target_url": url, "secret": SECRET}
        self._cvat("POST", "/api/webhooks", {**body, "events": events})

    def change_webhook(self, webhook_id: int, change: dict[str, Any]) -> None:
        """Change a webhook in CVAT."""
        self._cvat("PATCH", f"/api/webhooks/{webhook_id}", change)

    def _cvat(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = httpx.request(
            method, self.sandbox.url + path, json=body, auth=self.sandbox.admin, timeout=60
        )
        answer.raise_for_status()
        return answer

    def rule(self, project: Any, **rule: Any) -> dict[str, Any]:
        return {"projects": [project.name], "function": str(self.function), **rule}

    def is_annotated(self, task: Any) -> bool:
        """Whether every frame has its one shape. Fails the test if one has more."""
        shapes = Counter(shape.frame for shape in task.get_annotations().shapes)
        assert not [n for n in shapes.values() if n > 1], f"annotated twice: {shapes}"
        return len(shapes) == task.size

    def wait_for(self, tasks: list[Any]) -> None:
        wait_until(
            lambda: all(self.is_annotated(task) for task in tasks),
            what="every frame is annotated",
            describe=self.describe_runs,
        )

    # --- requests to the Prefect server ------------------------------------------------------

    def ask(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """Send a request, and repeat it like Prefect's client: SQLite may be locked."""
        deadline = time.monotonic() + HANG_TIMEOUT
        while True:
            try:
                answer = httpx.request(
                    method, f"{self.prefect.url}/api/{path}", json=body, timeout=30
                )
                if answer.status_code != 503 or time.monotonic() > deadline:
                    break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Return the flow runs of a deployment, oldest first, without the scheduled ones."""
        runs = self.ask(
            "flow_runs/filter",
            {"deployments": {"name": {"any_": [deployment]}}, "sort": "START_TIME_ASC"},
        )
        return [run for run in runs if not run["auto_scheduled"]]

    def describe_runs(self) -> list[str]:
        """Describe the annotating runs, for the message of a failed test."""
        return [
            f"{run['name']}: {run['state']['name']} {run['labels'].get('prefect.worker.name')} "
            f"{run['state']['message'] or ''}"
            for run in self.runs("annotate-task")
        ]

    def start_run(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Start a run of a deployment. Options that are not on the form go into `advanced`."""
        if deployment == "annotate-task":
            parameters = flow_parameters(AnnotateTaskParameters(**parameters))
        known = self.ask(f"deployments/name/{deployment}/{deployment}", method="GET")
        made = self.ask(
            f"deployments/{known['id']}/create_flow_run",
            {"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )
        return str(made["id"])

    def model_runs(self, flow_runs: list[str], *, count: int) -> list[dict[str, Any]]:
        """Wait for `count` task runs that detected or recalled a batch, and return them."""

        def recorded() -> list[dict[str, Any]]:
            runs: list[dict[str, Any]] = self.ask(
                "task_runs/filter", {"flow_runs": {"id": {"any_": flow_runs}}, "limit": 200}
            )
            batches = [run for run in runs if run["name"].startswith("detect ")]
            return [run for run in batches if run["end_time"]]

        wait_until(
            lambda: len(recorded()) >= count,
            what="task runs are recorded",
            describe=recorded,
        )
        return recorded()

    def state_of(self, run_id: str) -> tuple[str, str]:
        run = self.ask(f"flow_runs/{run_id}", method="GET")
        return run["state"]["name"], run["state"]["message"] or ""

    def wait_for_run(self, run_id: str) -> tuple[str, str]:
        final = {"Completed", "Failed", "Crashed", "Cancelled"}
        wait_until(
            lambda: self.state_of(run_id)[0] in final,
            what=f"run {run_id} ends",
            describe=self.describe_runs,
        )
        return self.state_of(run_id)
