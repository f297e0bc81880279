"""Who lined up first goes first, and an end calls off those who wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cvat_flows.tasks.detect.turns import TurnLost, Turns
from tests.support.waiting import A_HANG


def test_each_waits_for_those_who_lined_up_before() -> None:
    turns, order = Turns(), list[int]()
    numbers = [3, 0, 7, 1, 4]
    for number in numbers:
        turns.line_up(number)
    together = threading.Barrier(len(numbers))

    def go(number: int) -> None:
        together.wait(A_HANG)
        with turns.of(number):
            order.append(number)

    with ThreadPoolExecutor(len(numbers)) as threads:
        list(threads.map(go, reversed(numbers)))
    assert order == numbers


def test_one_that_did_not_line_up_need_not_wait() -> None:
    turns = Turns()
    turns.line_up(0)
    with turns.of(5), turns.of(0), turns.of(0):
        pass


def test_what_waits_is_called_off_at_the_end() -> None:
    turns, entered = Turns(), list[int]()
    for number in range(3):
        turns.line_up(number)

    def go(number: int) -> None:
        with turns.of(number):
            entered.append(number)

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(go, number) for number in (1, 2)]
        turns.end()
        for future in waiting:
            with pytest.raises(TurnLost):
                future.result(A_HANG)
    assert entered == []


def test_an_error_in_a_turn_ends_all() -> None:
    turns = Turns()
    turns.line_up(0)
    turns.line_up(1)
    with pytest.raises(ValueError, match="the model"), turns.of(0):
        raise ValueError("the model")
    with pytest.raises(TurnLost), turns.of(1):
        pass
