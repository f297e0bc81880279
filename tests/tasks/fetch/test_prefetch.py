"""Chunks are downloaded ahead of their use, a limited number at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from cvat_flows.tasks.cvat.client.retry import Interrupted, Wait
from cvat_flows.tasks.fetch.prefetch import ChunkPrefetcher
from tests.support.waiting import HANG_TIMEOUT, wait_until


class Content:
    """Stands for a chunk's content, and counts how many are open."""

    def __init__(self, number: int, log: Log) -> None:
        self.number = number
        self.log = log
        with log.lock:
            log.downloaded.append(number)
            log.open.add(number)
            log.max_open = max(log.max_open, len(log.open))

    def close(self) -> None:
        with self.log.lock:
            self.log.open.remove(self.number)


class Log:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.downloaded: list[int] = []
        self.open: set[int] = set()
        self.max_open = 0

    def download(self, number: int, wait: Wait) -> Content:
        return Content(number, self)


def settle(condition: Callable[[], bool]) -> None:
    wait_until(condition, what="the prefetcher settles", every=0.002)


@pytest.fixture
def log() -> Log:
    return Log()


def test_no_more_chunks_are_downloaded_ahead_than_allowed(log: Log) -> None:
    chunks = ChunkPrefetcher(log.download, list(range(20)), ahead=3, threads=2)
    chunks.start()
    settle(lambda: len(log.downloaded) == 3)
    time.sleep(0.05)
    assert sorted(log.downloaded) == [0, 1, 2]
    for number in range(20):
        assert chunks.take(number).number == number
        assert chunks.take(number).number == number
        chunks.drop(number)
        assert number not in chunks.held
    assert sorted(log.downloaded) == list(range(20))
    assert log.max_open <= 4
    settle(lambda: not log.open)
    chunks.close()


def test_chunks_out_of_order_and_again(log: Log) -> None:
    chunks = ChunkPrefetcher(log.download, [0, 1, 2, 3], ahead=1, threads=1)
    chunks.start()
    assert chunks.take(3).number == 3
    assert chunks.take(0).number == 0
    chunks.drop(0)
    assert chunks.take(0).number == 0
    assert chunks.take(9).number == 9
    chunks.close()
    assert not log.open
    assert log.downloaded.count(3) == 1


def test_a_failed_download_is_raised_and_tried_again_when_taken_again() -> None:
    attempts: list[int] = []
    log = Log()

    def download(number: int, wait: Wait) -> Content:
        attempts.append(number)
        if len(attempts) <= 2:
            raise OSError("down")
        return log.download(number, wait)

    chunks = ChunkPrefetcher(download, [0], ahead=1, threads=2)
    chunks.start()
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            chunks.take(0)
    assert chunks.take(0).number == 0
    chunks.close()
    assert not log.open


def test_closing_cancels_waits_and_frees_everything(log: Log) -> None:
    waiting = threading.Event()

    def download(number: int, wait: Wait) -> Content:
        if number == 1:
            waiting.set()
            wait(3600)
        return log.download(number, wait)

    chunks = ChunkPrefetcher(download, list(range(10)), ahead=5, threads=2)
    chunks.start()
    assert waiting.wait(HANG_TIMEOUT)
    caught: list[BaseException] = []

    def take() -> None:
        try:
            chunks.take(1)
        except BaseException as error:
            caught.append(error)

    taker = threading.Thread(target=take)
    taker.start()
    settle(lambda: 1 in chunks._in_use)
    chunks.close()
    taker.join(HANG_TIMEOUT)
    assert not taker.is_alive()
    assert [type(error) for error in caught] == [Interrupted]
    assert not log.open


def test_several_threads_take_chunks(log: Log) -> None:
    chunks = ChunkPrefetcher(log.download, list(range(30)), ahead=2, threads=2)
    chunks.start()

    def use(numbers: range) -> None:
        for number in numbers:
            assert chunks.take(number).number == number
            chunks.drop(number)

    takers = [threading.Thread(target=use, args=(range(n, 30, 3),)) for n in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(log.downloaded) == list(range(30))
    assert log.max_open <= 2 + 2 * 3
    chunks.close()
    assert not log.open
