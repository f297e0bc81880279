"""Sources are parsed while another thread parses, too."""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from aa_functions.inputs.parsing import parse

SOURCE = "\n".join(f"def f{n}(a, b):\n    return [a + b, {{a: b}}]" for n in range(200))

Trap = Callable[[], None]


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Sets a trap: the next garbage collection lets another thread parse, deeper in its stack."""
    collected, parsed = threading.Event(), threading.Event()
    sprung: list[bool] = []
    before = gc.get_threshold()

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            sprung.append(True)
            collected.set()
            parsed.wait(60)

    def parse_below(depth: int) -> None:
        if depth:
            parse_below(depth - 1)
        else:
            ast.parse("x = 1")

    def other_thread() -> None:
        collected.wait(60)
        parse_below(9)
        parsed.set()

    thread = threading.Thread(target=other_thread)
    thread.start()

    def set_trap() -> None:
        gc.collect()
        Garbage()
        gc.set_threshold(1000)

    try:
        yield set_trap
    finally:
        gc.set_threshold(*before)
        collected.set()
        thread.join()
    assert sprung


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the parser counts the depth by thread")
def test_the_trap_catches_python_itself(trap: Trap) -> None:
    trap()
    with pytest.raises(SystemError, match="recursion depth"):
        ast.parse(SOURCE)


def test_another_thread_that_parses_does_no_harm(trap: Trap) -> None:
    expected = ast.dump(ast.parse(SOURCE))
    trap()
    assert ast.dump(parse(SOURCE)) == expected


def test_a_mistake_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        parse("def")
