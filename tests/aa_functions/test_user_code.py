"""Whatever the code of a function raises while it is loaded, it is an error with a sentence."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from aa_functions import FunctionReferenceError, load_function

HEAD = """
    import asyncio, os, signal, sys
    from types import SimpleNamespace
    from aa_functions import DetectionFunctionSpec, label_spec

    SPEC = DetectionFunctionSpec(labels=[label_spec("car", 0)])

    class Unreadable(Exception):
        def __str__(self):
            sys.exit(4)
"""
RAISES = [
    "quit()",
    "sys.exit('no licence')",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise asyncio.CancelledError",
    "raise Unreadable",
    "raise ValueError('\\ud800')",
]
PLACES: dict[str, str] = {
    "module": "{raises}",
    "create": """
    def create():
        {raises}
""",
    "spec": """
    class Cars:
        detect = print

        @property
        def spec(self):
            {raises}
    create = Cars
""",
    "fingerprint_inputs": """
    def fingerprint_inputs():
        {raises}
    spec, detect = SPEC, print
""",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(source: str) -> Path:
        path = tmp_path / "f.py"
        path.write_text(dedent(source))
        return path

    return make


@pytest.mark.parametrize("raises", RAISES)
@pytest.mark.parametrize("place", PLACES)
def test_what_loading_raises_is_a_load_error(
    write: Callable[[str], Path], place: str, raises: str
) -> None:
    path = write(HEAD + "\n    " + PLACES[place].format(raises=raises))
    with pytest.raises(FunctionReferenceError) as caught:
        load_function(str(path))
    assert "f.py" in str(caught.value)
    str(caught.value).encode()
    if "licence" in raises:
        assert "SystemExit (no licence) was raised" in str(caught.value)


def test_a_module_that_exits_is_a_load_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "leaves_at_once.py").write_text("raise SystemExit")
    with pytest.raises(FunctionReferenceError, match="'leaves_at_once' cannot be imported"):
        load_function("leaves_at_once")
    assert "leaves_at_once" not in sys.modules


def test_ctrl_c_while_a_function_is_created(write: Callable[[str], Path]) -> None:
    handler = signal.default_int_handler  # a shell's background jobs ignore the signal
    before = signal.signal(signal.SIGINT, handler)
    path = write(HEAD + PLACES["create"].format(raises="os.kill(os.getpid(), signal.SIGINT)"))
    try:
        with pytest.raises(KeyboardInterrupt):
            load_function(str(path))
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_the_function_sets_stays(write: Callable[[str], Path]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    path = write(
        HEAD + "\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    spec, detect = SPEC, print"
    )
    try:
        load_function(str(path))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
