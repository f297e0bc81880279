"""Uploads to a server with the known bugs of CVAT 2.54.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve
from cvat_sdk import Client, Config

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.upload.frames.encode import MAX_SOURCE_LENGTH
from tests.tasks.upload.upload_bench import Bench


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("quirky"), quirks=True) as process:
        yield process


@pytest.fixture(scope="module")
def client(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    config = Config(status_check_period=0.05, cache_dir=tmp_path_factory.mktemp("cache"))
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(sandbox.admin)
        yield client


def test_frame_numbers_outside_the_job_are_not_sent(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(segment_size=3)
    bench.change("create", {"shapes": [annotation_to_json(bench.box(99))]})
    assert bench.frames(job=0) == [99]  # the bug
    stray = evolve(bench.outcome(0, bench.box(4)), frame=evolve(bench.frame(4), number=4))
    report = bench.upload(stray, bench.outcome(0, bench.box(0)))
    assert [o.frame.number for o in report.failed] == [4]
    assert bench.frames(job=0) == [0, 99]


def test_a_source_that_is_too_long_is_not_sent(bench: Bench) -> None:
    good = bench.box(0, source="x" * MAX_SOURCE_LENGTH)
    report = bench.upload(
        bench.outcome(0, good), bench.outcome(1, bench.box(1, source="x" * (MAX_SOURCE_LENGTH + 1)))
    )
    assert [o.frame.number for o in report.failed] == [1]
    assert bench.frames() == [0]


def _askew(bench: Bench) -> Annotation:
    head, tail = bench.pose(0).elements
    return evolve(bench.pose(0), elements=(evolve(head, frame=1), tail))


def test_a_skeleton_that_would_damage_the_task_is_not_sent(bench: Bench) -> None:
    report = bench.upload(bench.outcome(0, _askew(bench)), bench.outcome(1, bench.pose(1)))
    assert [o.frame.number for o in report.failed] == [0]
    assert bench.frames() == [1]


def test_a_damaged_task_is_named_and_left_unchanged(bench: Bench) -> None:
    bench.change("create", {"shapes": [annotation_to_json(_askew(bench))]})
    with pytest.raises(CvatUnavailable, match=rf"job {bench.jobs[0].id}.*damaged"):
        bench.upload(bench.outcome(1, bench.box(1)))
    assert list(bench.storage.list("")) == []
