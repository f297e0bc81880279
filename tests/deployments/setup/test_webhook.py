from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cvat_sdk import Client

from cvat_flows.deployments.commands.setup import configure
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.setup.webhook import EVENTS_WITHOUT_IMPORTS, plan_webhooks
from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED
from cvat_flows.tasks.cvat.client.connection import ServerSettings
from cvat_flows.tasks.cvat.client.settings import command_line_settings
from tests.deployments.setup.organization_server import organization_server
from tests.support.stack import SECRET, Stack

URL = "http://127.0.0.1:9/cvat"


def test_a_changed_webhook_is_repaired(stack: Stack, project: Any, tmp_path: Path) -> None:
    url = stack.receiver().url
    options = ["--webhook", str(project.id), "--webhook-url", url]
    stack.cvat_flows("setup", "--yes", *options)
    assert stack.is_set_up(*options)
    # Somebody sets another secret in CVAT and switches the webhook off.
    (hook,) = stack.webhooks(project)
    stack.change_webhook(hook["id"], {"secret": "another secret", "is_active": False})
    shown = stack.cvat_flows("setup", "--dry-run", *options)
    assert f"update CVAT webhook of project {project.id}" in shown
    stack.cvat_flows("setup", "--yes", *options)
    assert stack.is_set_up(*options)
    stack.change_webhook(hook["id"], {"secret": "another secret"})
    assert "secret" in stack.cvat_flows("setup", "--dry-run", *options)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    stack.cvat_flows("setup", "--yes", *options, "--secret-file", str(secret))
    assert len(stack.webhooks(project)) == 1


@pytest.fixture(scope="module")
def old_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A CVAT whose webhooks are those of 2.54."""
    with SandboxProcess(tmp_path_factory.mktemp("old-sandbox")) as process:
        yield process


@pytest.fixture
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_FLOWS_WEBHOOK_SECRET", SECRET)


def plan(url: str, *options: str, token: str = "") -> Change:
    """Return the change that `cvat-flows setup` with these options plans for a CVAT."""
    parser = argparse.ArgumentParser()
    configure(parser)
    context = command_line_settings.set(
        ServerSettings(host=url, access_token=token)
        if token
        else ServerSettings(host=url, username="admin", password="admin")
    )
    try:
        (change,) = plan_webhooks(parser.parse_args([*options, "--webhook-url", URL]))
    finally:
        command_line_settings.reset(context)
    return change


def apply(change: Change) -> None:
    assert change.apply
    change.apply()


def hooks(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    answer = httpx.get(f"{sandbox.url}/api/webhooks", auth=sandbox.admin, timeout=60)
    return [hook for hook in answer.json()["results"] if hook["target_url"] == URL]


@pytest.mark.usefixtures("_secret")
def test_the_events_of_an_old_server(old_sandbox: SandboxProcess) -> None:
    with Client(old_sandbox.url, check_server_version=False) as client:
        client.login(old_sandbox.admin)
        client.projects.create({"name": "old", "labels": [{"name": "car"}]})
    apply(plan(old_sandbox.url, "--webhook", "old"))
    assert [hook["events"] for hook in hooks(old_sandbox)] == [EVENTS_WITHOUT_IMPORTS]
    assert plan(old_sandbox.url, "--webhook", "old").verb == "ok"


@pytest.mark.usefixtures("_secret")
def test_a_webhook_of_the_whole_server(sandbox: SandboxProcess) -> None:
    change = plan(sandbox.url, "--webhook-server")
    assert str(change) == f"create CVAT webhook of the server: to {URL}"
    apply(change)
    (hook,) = hooks(sandbox)
    assert (hook["type"], hook["events"]) == ("server", [IMPORT_COMPLETED])
    assert plan(sandbox.url, "--webhook-server").verb == "ok"
    # Registered for an older version, and a person has added an event.
    older = {"events": [*EVENTS_WITHOUT_IMPORTS, "delete:task"]}
    address = f"{sandbox.url}/api/webhooks/{hook['id']}"
    httpx.patch(address, json=older, auth=sandbox.admin, timeout=60).raise_for_status()
    change = plan(sandbox.url, "--webhook-server")
    assert (change.verb, change.detail) == ("update", "events")
    apply(change)
    assert hooks(sandbox)[0]["events"] == [IMPORT_COMPLETED, "delete:task"]
    httpx.delete(address, auth=sandbox.admin, timeout=60).raise_for_status()


@pytest.mark.usefixtures("_secret")
def test_an_old_server_has_no_webhooks_for_the_whole_server(old_sandbox: SandboxProcess) -> None:
    with pytest.raises(SetupError, match=r"this CVAT has no webhooks for the whole server, .* use"):
        plan(old_sandbox.url, "--webhook-server")


@pytest.mark.usefixtures("_secret")
def test_a_webhook_of_an_organization() -> None:
    with organization_server() as cvat:
        change = plan(cvat.url, "--webhook-organization", "lab", token="t")
        assert str(change) == f"create CVAT webhook of organization 'lab': to {URL}"
        apply(change)
        (hook,) = cvat.hooks
        assert (hook["type"], TASK_UPDATED in hook["events"]) == ("organization", True)
        assert plan(cvat.url, "--webhook-organization", "lab", token="t").verb == "ok"
        assert {slug for _, path, slug in cvat.asked if "webhooks" in path} == {"lab"}
        assert ("POST", "/api/webhooks/1/ping", "lab") in cvat.asked


@pytest.mark.usefixtures("_secret")
def test_a_webhook_needs_an_address() -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(SetupError, match="needs --webhook-url"):
        plan_webhooks(parser.parse_args(["--webhook-server"]))
