"""Check the Prefect server: version, clock, database and the settings that matter here."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import get_current_settings

from cvat_flows.deployments.doctor.clock import check_clock
from cvat_flows.deployments.doctor.disk import check_disk
from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning

MIN_BATCH_SIZES = {"task_run_recorder": (100, "task runs"), "event_persister": (500, "events")}
"""How many records a service of the server should write in one transaction, and which records."""


def check_server(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Check version, clock, database, lease storage and batch sizes."""
    url = str(get_current_settings().api.url)
    yield _check_version(client.api_version(), url)
    answer = client.request("GET", "/admin/version")
    yield check_clock("Prefect clock", answer.headers.get("Date"), time.time())
    settings: dict[str, Any] = client.request("GET", "/admin/settings").json()
    server = settings["server"]
    yield from check_database(server, Path(settings["home"]), on_this_machine=_is_local(url))
    yield _check_lease_storage(str(server["concurrency"]["lease_storage"]))
    yield from _check_batch_sizes(server["services"])


def _check_version(version: str, url: str) -> Verdict:
    if version == prefect.__version__:
        return ok("Prefect", f"{version} at {url}")
    return warning(
        "Prefect",
        f"the server at {url} has {version}, this machine {prefect.__version__}",
        "install the same version on all machines",
    )


def check_database(
    server: Mapping[str, Any], home: Path, *, on_this_machine: bool
) -> Iterator[Verdict]:
    """Report the database and, if it is a file on this machine, check its disk."""
    if "postgresql" in str(server["database"].get("driver")):
        yield ok("database", "PostgreSQL")
    elif on_this_machine and (home / "prefect.db").exists():
        yield ok("database", "SQLite: suitable for one machine and a few runs at once")
        advice = "free some disk space, or keep runs for a shorter time (see docs/operations.md)"
        yield check_disk("database folder", home, advice)
    else:
        # The server hides its database's address because that contains a password.
        yield ok("database", "neither the database nor its disk can be checked from here")


def _check_lease_storage(module: str) -> Verdict:
    if not module.endswith("lease_storage.memory"):
        return ok("lease storage", module)
    return warning(
        "lease storage",
        "in the server's memory: a GPU slot in use during a restart is never released",
        "start the server with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="
        "prefect.server.concurrency.lease_storage.filesystem (or prefect_redis.lease_storage)",
    )


def _check_batch_sizes(services: Mapping[str, Any]) -> Iterator[Verdict]:
    for service, (batch_size, records) in MIN_BATCH_SIZES.items():
        if int(services[service]["batch_size"]) < batch_size:
            name = f"PREFECT_SERVER_SERVICES_{service.upper()}"
            yield warning(
                records,
                "the server writes them in small transactions: with SQLite, requests for a GPU "
                "slot then take a second or more",
                f"start it with {name}_BATCH_SIZE={batch_size} and {name}_READ_BATCH_SIZE=100, as "
                "in prefect-server.env",
            )


def _is_local(url: str) -> bool:
    """Whether the server at this address runs on this machine."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    return urlsplit(url).hostname in names
