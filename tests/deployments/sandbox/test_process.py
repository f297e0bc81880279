"""Starting, stopping and restarting the sandbox, and its access rights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cvat_sdk import Client, Config, models
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.waiting import HANG_TIMEOUT, wait_until


def logged_in(url: str) -> Client:
    client = Client(url, config=Config(status_check_period=0.05), check_server_version=False)
    client.login(SandboxProcess.admin)
    return client


def test_a_killed_sandbox_keeps_what_it_has_confirmed(tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    Image.new("RGB", (20, 10), "red").save(picture)
    with SandboxProcess(tmp_path / "data") as sandbox:
        address, client = sandbox.url, logged_in(sandbox.url)
        spec = models.TaskWriteRequest(name="kept", labels=[models.PatchedLabelRequest(name="car")])
        task = client.tasks.create_from_data(spec=spec, resources=[picture])
        label = task.get_labels()[0].id
        shape = models.LabeledShapeRequest(
            type="rectangle", frame=0, label_id=label, points=[1.0, 2.0, 3.0, 4.0]
        )
        task.set_annotations(models.LabeledDataRequest(shapes=[shape]))
        before = task.get_annotations().to_dict()
        sandbox.stop()
        sandbox.start()
        assert sandbox.url == address
        # The session stays valid; the client need not log in again.
        again = client.tasks.retrieve(task.id)
        assert (again.name, again.size) == ("kept", 1)
        assert again.get_annotations().to_dict() == before
        assert again.get_frame(0, quality="original").read() == picture.read_bytes()
        # New objects do not get the ids of old ones.
        more = client.tasks.create(spec)
        assert more.id > task.id
        task.update_annotations(models.PatchedLabeledDataRequest(shapes=[shape]))
        assert len({one.id for one in task.get_annotations().shapes}) == 2
        client.close()


def test_an_interrupted_import_resumes_after_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "data") as sandbox:
        client = logged_in(sandbox.url)
        spec = models.TaskWriteRequest(name="cut", labels=[models.PatchedLabelRequest(name="car")])
        pictures = []
        for n in range(40):
            pictures.append(tmp_path / f"{n:02d}.png")
            Image.effect_noise((400, 300), 50).save(pictures[-1])
        task = client.tasks.create(spec)
        task.upload_data(pictures, wait_for_completion=False)
        sandbox.stop()
        sandbox.start()
        request = f"action=create&target=task&target_id={task.id}"

        def ended() -> str | None:
            state: str = client.api_client.requests_api.retrieve(request)[0].status.value
            return state if state in ("finished", "failed") else None

        state = wait_until(ended, what="the import ends")
        assert (state, client.tasks.retrieve(task.id).size) == ("finished", 40)
        client.close()


def test_a_sandbox_exits_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from cvat_flows.deployments.sandbox.process import SandboxProcess\n"
        "sandbox = SandboxProcess(Path(sys.argv[1])); sandbox.start()\n"
        "print(sandbox.url, flush=True); os._exit(1)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HANG_TIMEOUT,
    )
    url = run.stdout.strip()
    assert url.startswith("http://127.0.0.1:")

    def nobody_listens() -> bool:
        try:
            httpx.get(f"{url}/api/server/about", timeout=60, trust_env=False)
        except httpx.TransportError as error:
            return isinstance(error, httpx.ConnectError)
        return False

    wait_until(nobody_listens, what="the sandbox ends with its parent")


def test_a_sandbox_that_cannot_start_says_why(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "one") as sandbox:
        port = int(sandbox.url.rsplit(":", 1)[1])
        told = rf"start: --host 127.0.0.1 --port {port}: cannot listen .*already in use"
        with pytest.raises(RuntimeError, match=told):
            SandboxProcess(tmp_path / "two", port=port).start()


def test_only_the_superuser_may_set_faults(sandbox: SandboxProcess) -> None:
    for path in ("/sandbox/faults", "/sandbox/requests"):
        assert httpx.get(sandbox.url + path, trust_env=False, timeout=60).status_code == 401
        answer = httpx.get(sandbox.url + path, auth=sandbox.worker, trust_env=False, timeout=60)
        assert answer.status_code == 403
    with pytest.raises(ValueError, match="unexpected keyword argument 'colour'"):
        sandbox.set_faults([{"colour": "red"}])
