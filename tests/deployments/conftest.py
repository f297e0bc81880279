"""Fixtures: a small function, a Prefect server, and an installation with a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

from tests.support.live_prefect import LivePrefect
from tests.support.stack import FUNCTION, Stack
from tests.support.waiting import wait_until


@pytest.fixture
def function_file(tmp_path: Path) -> Path:
    """A function that finds one car as large as the image, and fails on images 13 pixels wide."""
    path = tmp_path / "one_car.py"
    path.write_text(FUNCTION)
    return path


@pytest.fixture(scope="session")
def live_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePrefect]:
    """A Prefect server with all its services, as `prefect server start` runs it."""
    with LivePrefect.started(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(
    live_prefect: LivePrefect,
    sandbox: Any,
    client: Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stack:
    """An installation on one machine, after `cvat-flows setup` and with a worker."""
    made = Stack(
        folder=tmp_path_factory.mktemp("stack"),
        prefect=live_prefect,
        sandbox=sandbox,
        client=client,
    )
    made.set_rules()
    made.cvat_flows("setup", "--yes", "--gpus", "2")
    made.worker("--limit", "6")
    # The set-up takes less time than the worker's start.
    wait_until(
        lambda: made.ask("work_pools/cvat/workers/filter", {}),
        what="the worker reports to the pool",
    )
    return made


@pytest.fixture
def project(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = stack.project(request.node.name)
    yield made
    made.remove()
