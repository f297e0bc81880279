"""A deployment's run waits for a CVAT that restarts, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from prefect import flow
from prefect.logging import disable_run_logger

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.run import connect
from cvat_flows.flows.run.connect import connect_for_run, connect_with_retries
from cvat_flows.tasks.cvat.client.login import CannotConnect
from cvat_flows.tasks.cvat.client.server import ServerSettings


@pytest.fixture
def settings(sandbox: SandboxProcess) -> Iterator[ServerSettings]:
    user, password = sandbox.admin
    # An own organization, because a known client would not log in again.
    yield ServerSettings(host=sandbox.url, username=user, password=password, organization="")
    sandbox.clear_faults()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    waited: list[float] = []
    clock = iter(range(0, 100_000, 60))
    stopped = SimpleNamespace(sleep=waited.append, monotonic=lambda: float(next(clock)))
    monkeypatch.setattr(connect, "time", stopped)
    with disable_run_logger():
        yield waited


def restarting(sandbox: SandboxProcess, times: int | None) -> None:
    rule = {"action": "status", "status": 502, "when": "before", "path": ".*", "times": times}
    sandbox.set_faults([rule])


def test_a_run_waits_for_a_server_that_restarts(
    sandbox: SandboxProcess, settings: ServerSettings, pauses: list[float]
) -> None:
    restarting(sandbox, 3)
    client = connect_with_retries(settings)
    assert pauses == [1.0, 2.0, 4.0][: len(pauses)]
    assert pauses
    assert client.users.retrieve_current_user().username == settings.username


def test_a_dead_address_fails_in_the_end(settings: ServerSettings, pauses: list[float]) -> None:
    with pytest.raises(CannotConnect, match="cannot be reached"):
        connect_with_retries(evolve(settings, host="http://127.0.0.1:9"))
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_wrong_credentials_are_final(settings: ServerSettings, pauses: list[float]) -> None:
    with pytest.raises(CannotConnect, match="does not accept the credentials"):
        connect_with_retries(evolve(settings, password="wrong"))
    assert pauses == []


def test_a_run_by_hand_fails_without_retries(
    sandbox: SandboxProcess, settings: ServerSettings, pauses: list[float], prefect_server: None
) -> None:
    restarting(sandbox, None)

    @flow(persist_result=False)
    def by_hand() -> Any:
        return connect_for_run(settings)

    with pytest.raises(CannotConnect, match="answered 502"):
        by_hand()
    assert pauses == []
