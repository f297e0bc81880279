"""The whole receiver, in its own process, with a sandbox that delivers to it."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cvat_sdk import Client, Config, models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED
from tests.conftest import draw_images
from tests.deployments.webhook.test_sweep_runs import Deployment
from tests.support.receiver_process import SECRET, receiver_process
from tests.support.waiting import wait_until

BLOCK_IMPORTS = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        # cvat_flows uses aa_functions.exports, which imports only the standard library.
        of_functions = package == "aa_functions" and module not in {"", "exports"}
        if of_functions or package in {"cvat_sdk", "torch", "ultralytics"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""
IMPORTED = {
    "event": IMPORT_COMPLETED,
    "request": {"status": "finished", "operation": {"task_id": 5}},
}


class _Guard(BaseHTTPRequestHandler):
    """Rejects every request and records its credentials."""

    credentials: list[str | None]

    def do_GET(self) -> None:
        self.credentials.append(self.headers["Authorization"])
        self.send_response(401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def guard() -> Iterator[tuple[str, list[str | None]]]:
    """A Prefect server that rejects all credentials: its address, and the credentials."""
    handler = type("Guard", (_Guard,), {"credentials": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api", handler.credentials  # type: ignore[attr-defined]
        server.shutdown()


def test_it_needs_no_models_and_no_cvat_and_uses_prefects_profile(
    tmp_path: Path, guard: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, credentials = guard
    (tmp_path / "sitecustomize.py").write_text(BLOCK_IMPORTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    for name in ("PREFECT_API_URL", "CVAT_HOST", "CVAT_FLOWS_RULES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "profiles.toml").write_text(
        'active = "office"\n[profiles.office]\n'
        f'PREFECT_API_URL = "{url}"\nPREFECT_API_AUTH_STRING = "admin:secret"\n'
    )
    with receiver_process(tmp_path, PREFECT_HOME=str(tmp_path)) as receiver:
        assert receiver.deliver({"event": "ping"}) == (200, "pong")
        ((_, text),) = wait_until(
            lambda: [one for one in [receiver.deliver(IMPORTED)] if one[0] == 503],
            what="the receiver has seen that Prefect refuses",
        )
    assert "rejects the receiver's credentials: set PREFECT_API_AUTH_STRING" in text
    expected = base64.b64encode(b"admin:secret").decode()
    assert set(credentials) == {f"Basic {expected}"}
    assert "no sweep was started for 1 CVAT task" in receiver.log.read_text()


@pytest.mark.parametrize(("new", "event"), [(False, TASK_UPDATED), (True, IMPORT_COMPLETED)])
def test_a_new_task_of_either_kind_of_server_starts_one_sweep(
    tmp_path: Path, prefect_server: None, new: bool, event: str
) -> None:
    url = get_current_settings().api.url
    assert url
    with (
        get_client(sync_client=True) as prefect,
        SandboxProcess(tmp_path / "sandbox", new_webhooks=new) as sandbox,
        Client(
            sandbox.url, config=Config(status_check_period=0.05), check_server_version=False
        ) as cvat,
    ):
        deployment = Deployment(prefect, run_in="deployment")
        options = ["--deployment", deployment.full_name, "--wait", "0.3", "--max-wait", "5"]
        cvat.login(sandbox.admin)
        with receiver_process(tmp_path, *options, PREFECT_API_URL=url) as receiver:
            project = cvat.projects.create({"name": "cars", "labels": [{"name": "car"}]})
            _register(sandbox, project.id, receiver.url, [event])
            task = _make_task(cvat, project.id, tmp_path)
            wait_until(deployment.runs, what="a sweep is started")
            # The saves of people and of our own uploads start no sweep.
            label = task.get_labels()[0].id
            shape = models.LabeledShapeRequest(
                type="rectangle", frame=0, label_id=label, points=[1.0, 1.0, 9.0, 9.0]
            )
            for _ in range(30):
                task.update_annotations(
                    models.PatchedLabeledDataRequest(shapes=[shape]),
                    action=AnnotationUpdateAction.CREATE,
                )
            other = _make_task(cvat, project.id, tmp_path)
            wait_until(lambda: len(deployment.runs()) >= 2, what="a second sweep is started")
        asked = [run.parameters["task_ids"] for run in deployment.runs()]
        assert sorted(asked) == [[task.id], [other.id]]
        known = receiver.log.read_text().count(f"task {task.id}: known, nothing to do")
        assert known >= (0 if new else 30)


def _register(sandbox: SandboxProcess, project: int, url: str, events: list[str]) -> None:
    body = {
        "type": "project",
        "project_id": project,
        "target_url": url,
        "content_type": "application/json",
        "secret": SECRET,
        "events": events,
    }
    answer = httpx.post(f"{sandbox.url}/api/webhooks", json=body, auth=sandbox.admin, timeout=60)
    assert answer.status_code == 201, answer.text


def _make_task(cvat: Client, project: int, folder: Path) -> Any:
    return cvat.tasks.create_from_data(
        spec=models.TaskWriteRequest(name="drive", project_id=project),
        resources=draw_images(folder / "images", 2),
    )
