"""Prefect on PostgreSQL and Redis: API servers, and a process for the background services."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import redis

from cvat_flows.deployments.listening import free_port
from cvat_flows.deployments.local_server import shipped_settings
from tests.support.balancer import balanced
from tests.support.live_prefect import TEST_SETTINGS, LivePrefect
from tests.support.waiting import wait_until

POSTGRES = os.environ.get("CVAT_FLOWS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")
REDIS = os.environ.get("CVAT_FLOWS_TEST_REDIS", "redis://127.0.0.1:6379")


def missing() -> str | None:
    """Name the database that this machine lacks. None if both are there."""
    for name, url in (("PostgreSQL", POSTGRES), ("Redis", REDIS)):
        host, _, port = url.rpartition("/")[2].rpartition("@")[2].partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return f"no {name} at {host}:{port}"
    return None


@contextmanager
def scaled_prefect(folder: Path, *, servers: int = 2, **env: str) -> Iterator[LivePrefect]:
    """Start API servers behind a balancer, and the services. The API servers come first in
    `processes`."""
    with ExitStack() as stack:
        database = stack.enter_context(_database(f"cvat_flows_test_{os.getpid()}"))
        redis_url = stack.enter_context(_redis_database())
        ports = [free_port() for _ in range(servers)]
        url = f"http://127.0.0.1:{stack.enter_context(balanced(ports))}"
        made = LivePrefect(
            folder=folder,
            url=url,
            env={
                **shipped_settings(url),
                **TEST_SETTINGS,
                "PREFECT_HOME": str(folder),
                "PREFECT_API_URL": f"{url}/api",
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
                "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
                "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
                "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
                "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
                "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
                "PREFECT_REDIS_MESSAGING_URL": redis_url,
                "PREFECT_SERVER_DOCKET_URL": redis_url,
                **env,
            },
        )
        stack.enter_context(made)
        migrated = made.run(sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y")
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        for port in ports:
            made.prefect("server", "start", "--no-services", "--port", str(port))
            # Each server registers Prefect's blocks when it starts. On an empty database, two at
            # once collide, and one of them exits.
            wait_until(partial(_healthy, port), what="a server answers")
        made.prefect("server", "services", "start")
        yield made


def _healthy(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=10).is_success
    return False


@contextmanager
def _database(name: str) -> Iterator[str]:
    asyncio.run(_execute(f'CREATE DATABASE "{name}"'))
    try:
        yield f"{POSTGRES.replace('postgresql:', 'postgresql+asyncpg:')}/{name}"
    finally:
        asyncio.run(_execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(statement: str) -> None:
    connection = await asyncpg.connect(f"{POSTGRES}/postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _redis_database() -> Iterator[str]:
    """Reserve an empty database of the Redis server."""
    for number in range(15, 0, -1):
        with redis.Redis.from_url(f"{REDIS}/{number}") as client:
            if client.dbsize() == 0 and client.set("cvat-flows-test", os.getpid(), nx=True):
                break
    else:
        raise AssertionError("every Redis database is in use")
    try:
        yield f"{REDIS}/{number}"
    finally:
        with redis.Redis.from_url(f"{REDIS}/{number}") as client:
            client.flushdb()
