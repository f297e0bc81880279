"""Fixtures for all tests: a sandbox server, a client, a Prefect server, storage and CVAT tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ["CVAT_FLOWS_OFFLINE"] = "1"  # no test downloads weights by accident

import pytest
from cvat_sdk import Client, Config, models
from hypothesis import HealthCheck, settings
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.s3_server import s3_bucket

# No deadline: how long an example takes says how busy the machine is.
_slow_is_fine = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.register_profile("quick", _slow_is_fine, max_examples=100)
settings.register_profile("thorough", _slow_is_fine, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


LIVE_CVAT = os.environ.get("CVAT_HOST")
"""Read before tests set the variable to the sandbox's address."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
    if item.get_closest_marker("cvat") and LIVE_CVAT is None:
        pytest.skip("CVAT_HOST is not set (a live CVAT, with CVAT_USER and CVAT_PASSWORD)")


LONG_FIRST = ("tests/deployments/", "tests/ui/")
"""Files that mostly wait for servers. The other workers fill the processor meanwhile."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FIRST))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A CVAT server with new webhooks. It delivers the old events, too."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), new_webhooks=True) as process:
        yield process


@pytest.fixture(scope="session")
def client(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the sandbox's administrator, logged in once per session."""
    config = Config(status_check_period=0.05, cache_dir=tmp_path_factory.mktemp("sdk-cache"))
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(("admin", "admin"))
        yield client


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server per session, because it takes seconds to start."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

    from tests.support.live_prefect import LivePrefect
    from tests.support.prefect_database import DATABASE

    home = tmp_path_factory.mktemp("prefect")
    database = {PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{home / DATABASE}"}
    with LivePrefect.started(home) as server, server.use_here(), temporary_settings(database):
        yield
        # What these threads have not sent yet they would try to send to no server, for a minute.
        APILogWorker.drain_all(timeout=60)
        EventsWorker.drain_all(timeout=60)


@pytest.fixture(scope="session")
def _s3() -> Iterator[tuple[str, dict[str, str]]]:
    for name in ("s3fs", "moto"):
        pytest.importorskip(name)
    with s3_bucket() as bucket:
        yield bucket


@pytest.fixture
def s3(_s3: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a bucket on the S3 server of this session."""
    url, environment = _s3
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return url


@pytest.fixture
def storage_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the manifests and caches of one test."""
    folder = tmp_path / "storage"
    monkeypatch.setenv("CVAT_FLOWS_STORAGE", str(folder))
    return folder


def draw_images(folder: Path, count: int, size: tuple[int, int] = (64, 48)) -> list[Path]:
    """Draw `count` JPEG images of different colours."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n in range(count):
        path = folder / f"img_{n:04d}.jpg"
        Image.new("RGB", size, (n * 37 % 256, n * 91 % 256, n * 53 % 256)).save(path)
        paths.append(path)
    return paths


@pytest.fixture
def make_task(client: Client, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A function that creates CVAT tasks with images. They are removed after the test.

    `make_task(count=4, labels=["car"], images=[paths], data={...}, **spec)` returns the SDK's task.
    """
    made: list[Any] = []

    def make(
        count: int = 4,
        labels: list[Any] | None = None,
        *,
        images: list[Path] | None = None,
        data: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Any:
        fields = {"name": f"task {len(made)}", **spec}
        if "project_id" not in spec:  # such a task has the labels of its project
            fields["labels"] = [
                models.PatchedLabelRequest(name=label) if isinstance(label, str) else label
                for label in (["car"] if labels is None else labels)
            ]
        task = client.tasks.create_from_data(
            spec=models.TaskWriteRequest(**fields),
            resources=images or draw_images(tmp_path / f"images-{len(made)}", count),
            data_params=data or {},
        )
        made.append(task)
        return task

    yield make
    for task in made:
        task.remove()
