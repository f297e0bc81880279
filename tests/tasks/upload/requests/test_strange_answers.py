"""Uploads through a proxy with a small limit, and to jobs with objects that are no objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk import Client

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.front import Answer, Change, Request, front
from tests.tasks.upload.upload_bench import SHORT_WAITS, Bench

Ask = Callable[[], Answer]


def upload_through(
    sandbox: SandboxProcess, bench: Bench, change: Change, *outcomes: Any, **options: Any
) -> Any:
    with front(sandbox.url, change) as url:
        client = Client(url, check_server_version=False)
        client.api_client.cookies.update(bench.client.api_client.cookies)
        known = bench.client.api_client.configuration.api_key
        client.api_client.configuration.api_key.update(known)
        return bench.upload(*outcomes, client=client, run="run-front", **options)


def test_requests_shrink_to_the_limit_of_a_proxy(
    make_bench: Callable[..., Bench], sandbox: SandboxProcess
) -> None:
    bench = make_bench(count=40)
    sizes: list[tuple[int, int]] = []

    def limit(request: Request, ask: Ask) -> Answer:
        if request.method == "PATCH":
            too_large = len(request.body) > 4000
            sizes.append((len(request.body), 413 if too_large else 200))
            if too_large:
                page = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
                return Answer(status=413, body=page)
        return ask()

    large = bench.outcome(39, *(bench.box(39, float(x)) for x in range(40)))
    outcomes = [bench.outcome(n, bench.box(n), bench.box(n, 20)) for n in range(39)]
    report = upload_through(sandbox, bench, limit, *outcomes, large)
    assert bench.frames() == sorted([*range(39)] * 2)
    (failed,) = report.failed
    assert failed.frame.number == 39
    text = failed.failure.error
    assert "client_max_body_size" in text
    assert "html" not in text
    assert "are a request of" in text
    # The limit is found once, not anew for each request of the full size.
    refused = [size for size, status in sizes if status == 413]
    assert len(refused) <= 8


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"x"'])
def test_objects_with_points_that_are_no_numbers_do_not_stop_an_upload(
    make_bench: Callable[..., Bench], sandbox: SandboxProcess, value: str
) -> None:
    bench = make_bench()
    bench.upload(bench.outcome(0, bench.box(0)))
    bench.add(bench.box(0, 30), bench.pose(0))

    def spoil(request: Request, ask: Ask) -> Answer:
        answer = ask()
        if request.method != "GET" or not request.path.endswith("/annotations"):
            return answer
        content = json.loads(answer.body)
        for shape in content["shapes"]:
            if shape["source"] == "manual":
                for part in (shape, *shape["elements"]):
                    part["points"] = ["SPOILED", *part["points"][1:]]
        body = json.dumps(content).replace('"SPOILED"', value).encode()
        return evolve(answer, body=body)

    outcomes = (bench.outcome(0, bench.box(0)), bench.outcome(1, bench.box(1)))
    report = upload_through(sandbox, bench, spoil, *outcomes)
    assert (report.created, report.kept, report.failed) == (1, 1, ())
    assert len(bench.annotations()["shapes"]) == 4


def test_a_proxy_that_ends_each_answer_with_a_newline_does_no_harm(
    bench: Bench, sandbox: SandboxProcess
) -> None:
    def add_newline(request: Request, ask: Ask) -> Answer:
        answer = ask()
        return evolve(answer, body=answer.body + b"\n")

    policy = evolve(SHORT_WAITS, give_up_after=2.0)
    outcome = bench.outcome(0, bench.box(0), bench.pose(0))
    report = upload_through(sandbox, bench, add_newline, outcome, retry_policy=policy)
    assert (report.created, report.failed) == (2, ())
    assert bench.upload(outcome, run="run-2").requests == 0
