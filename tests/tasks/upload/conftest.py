"""A task with labels of all kinds, and a connection to it with faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models

from cvat_flows.tasks.storage import FolderStorage
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import PASS, Exchange, Fault
from tests.tasks.upload.upload_bench import Bench, FaultyClient


@pytest.fixture
def make_bench(
    client: Client, make_task: Callable[..., Any], tmp_path: Path
) -> Callable[..., Bench]:
    def make(count: int = 6, **spec: Any) -> Bench:
        svg = "".join(
            f'<circle data-type="element node" data-element-id="{n}" data-node-id="{n}" '
            f'data-label-name="{name}"/>'
            for n, name in ((1, "head"), (2, "tail"))
        )
        kind = models.AttributeRequest(
            name="kind", mutable=False, input_type="select", default_value="a", values=["a", "b"]
        )
        task = make_task(
            count=count,
            labels=[
                models.PatchedLabelRequest(name="car", attributes=[kind]),
                models.PatchedLabelRequest(name="bus"),
                models.PatchedLabelRequest(name="sunny", type="tag"),
                models.PatchedLabelRequest(
                    name="pose",
                    type="skeleton",
                    svg=svg,
                    sublabels=[
                        models.SublabelRequest(name=name, type="points")
                        for name in ("head", "tail")
                    ],
                ),
            ],
            **spec,
        )
        labels = task.get_labels()
        return Bench(
            client=client,
            task=task,
            storage=FolderStorage(tmp_path / "storage"),
            jobs=sorted(task.get_jobs(), key=lambda job: (job.start_frame, job.id)),
            labels={label.name: label.id for label in labels}
            | {sub.name: sub.id for label in labels for sub in label.sublabels},
            attributes={a.name: a.id for label in labels for a in label.attributes},
        )

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def with_faults(client: Client) -> Iterator[Callable[..., FaultyClient]]:
    """Make a client whose requests for annotations can have faults.

    `decide(index, action, exchange)` returns the fault of a request, or None. `action` is "read",
    "create" or "delete".
    """
    open_proxies: list[FaultProxy] = []

    def with_faults(
        decide: Callable[[int, str, Exchange], Fault | None] | None = None,
    ) -> FaultyClient:
        log: list[str] = []

        def on_exchange(exchange: Exchange) -> Fault:
            path, _, query = exchange.path.partition("?action=")
            if not path.endswith("/annotations"):
                return PASS
            log.append(query or "read")
            return (decide and decide(len(log) - 1, log[-1], exchange)) or PASS

        proxy = FaultProxy(upstream=client.api_map.host, decide=on_exchange)
        proxy.__enter__()
        open_proxies.append(proxy)
        other = Client(proxy.url, check_server_version=False)
        other.api_client.cookies.update(client.api_client.cookies)
        other.api_client.configuration.api_key.update(client.api_client.configuration.api_key)
        return FaultyClient(client=other, proxy=proxy, log=log)

    yield with_faults
    for proxy in open_proxies:
        proxy.__exit__()
