"""The cache is written in the background, and everything is written at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from cvat_flows.tasks.detect.cache_writer import CacheWriter
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Outcome
from tests.tasks.fetch.media_factory import make_media

FOUND = (Detection(type="rectangle", label_id=1, points=(1.0, 2.0, 3.0, 4.0)),)


def outcome(number: int, **facts: Any) -> Outcome:
    made = Outcome(
        frame=make_media().frame(number), content_hash=f"{number:064x}", detections=FOUND
    )
    return evolve(made, **facts)


class SlowCache:
    """A cache whose writes block until the test allows them."""

    def __init__(self) -> None:
        self.allowed = threading.Event()
        self.batches: list[list[Outcome]] = []

    def put_many(self, outcomes: list[Outcome]) -> None:
        assert self.allowed.wait(timeout=60)
        self.batches.append(outcomes)


@pytest.fixture
def cache() -> Any:
    return SlowCache()


@pytest.fixture
def writer(cache: Any) -> Iterator[CacheWriter]:
    made = CacheWriter(cache)
    yield made
    cache.allowed.set()
    made.close()


def test_put_does_not_wait_for_the_storage(cache: Any, writer: CacheWriter) -> None:
    writer.put([outcome(0), outcome(1)])
    assert not cache.batches
    cache.allowed.set()
    writer.close()
    assert cache.batches == [[outcome(0), outcome(1)]]


def test_only_one_batch_is_written_at_a_time(cache: Any, writer: CacheWriter) -> None:
    writer.put([outcome(0)])
    second = threading.Thread(target=writer.put, args=([outcome(1)],))
    second.start()
    second.join(timeout=0.2)
    assert second.is_alive()
    cache.allowed.set()
    second.join(timeout=60)
    writer.close()
    assert cache.batches == [[outcome(0)], [outcome(1)]]


def test_cached_and_failed_outcomes_are_not_written(cache: Any, writer: CacheWriter) -> None:
    cache.allowed.set()
    writer.put(
        [outcome(0, cached=True), outcome(1, detections=None), outcome(2, content_hash=None)]
    )
    writer.close()
    assert cache.batches == []


def test_a_programming_error_is_raised(cache: Any) -> None:
    def fail(outcomes: list[Outcome]) -> None:
        raise RuntimeError("a bug")

    cache.put_many = fail
    writer = CacheWriter(cache)
    writer.put([outcome(0)])
    with pytest.raises(RuntimeError, match="a bug"):
        writer.close()
