"""Fixtures of the sweep, the receiver and the set-up: a small function, a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

from tests.support.live_prefect import LivePrefect
from tests.support.stack import FUNCTION, Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These come last: their servers and workers would take processor time from the others."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)


@pytest.fixture
def function_file(tmp_path: Path) -> Path:
    """A function that finds one car as large as the image; images 13 pixels wide make it fail."""
    path = tmp_path / "one_car.py"
    path.write_text(FUNCTION)
    return path


@pytest.fixture(scope="session")
def live_prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePrefect]:
    """A Prefect server as `prefect server start` gives it, with all its services."""
    with LivePrefect.started(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(
    live_prefect: LivePrefect,
    sandbox: Any,
    client: Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stack:
    """The server, set up, and a worker: one machine."""
    made = Stack(
        folder=tmp_path_factory.mktemp("stack"),
        prefect=live_prefect,
        sandbox=sandbox,
        client=client,
    )
    made.cvat_flows("setup", "--yes", "--gpus", "2")
    made.worker("--limit", "6")
    return made


@pytest.fixture
def project(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = stack.project(request.node.name)
    yield made
    made.remove()
