"""Turns come in the order of the queue, and cancelling ends the wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cvat_flows.tasks.detect.turns import TurnCancelled, TurnQueue
from tests.support.waiting import HANG_TIMEOUT


def test_turns_come_in_the_order_of_the_queue() -> None:
    turns, order = TurnQueue(), list[int]()
    numbers = [3, 0, 7, 1, 4]
    for number in numbers:
        turns.enqueue(number)
    together = threading.Barrier(len(numbers))

    def go(number: int) -> None:
        together.wait(HANG_TIMEOUT)
        with turns.turn(number):
            order.append(number)

    with ThreadPoolExecutor(len(numbers)) as threads:
        list(threads.map(go, reversed(numbers)))
    assert order == numbers


def test_a_number_outside_the_queue_does_not_wait() -> None:
    turns = TurnQueue()
    turns.enqueue(0)
    with turns.turn(5), turns.turn(0), turns.turn(0):
        pass


def test_cancelling_ends_the_wait() -> None:
    turns, entered = TurnQueue(), list[int]()
    for number in range(3):
        turns.enqueue(number)

    def go(number: int) -> None:
        with turns.turn(number):
            entered.append(number)

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(go, number) for number in (1, 2)]
        turns.cancel()
        for future in waiting:
            with pytest.raises(TurnCancelled):
                future.result(HANG_TIMEOUT)
    assert entered == []


def test_an_error_in_a_turn_cancels_the_queue() -> None:
    turns = TurnQueue()
    turns.enqueue(0)
    turns.enqueue(1)
    with pytest.raises(ValueError, match="the model"), turns.turn(0):
        raise ValueError("the model")
    with pytest.raises(TurnCancelled), turns.turn(1):
        pass
