"""Python's garbage collector stands aside, and is as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from cvat_flows.flows.run import memory
from cvat_flows.flows.run.memory import freeze_gc, freeze_modules, pause_gc


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(memory, "_frozen_here", False)
    yield
    gc.unfreeze()
    gc.enable()


def test_a_pause_ends_also_after_an_error() -> None:
    def load() -> None:
        with pause_gc():
            assert not gc.isenabled()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        load()
    assert gc.isenabled()


def test_a_program_that_does_without_the_collector_keeps_it_off() -> None:
    gc.disable()
    with pause_gc():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_a_run_freezes_what_exists_and_releases_it() -> None:
    with freeze_gc():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_a_run_releases_what_the_command_line_froze() -> None:
    freeze_modules()
    before = gc.get_freeze_count()
    loaded = [[] for _ in range(10_000)]  # type: ignore[var-annotated]
    with freeze_gc():
        assert gc.get_freeze_count() >= before + len(loaded)
    assert gc.get_freeze_count() == 0


def test_what_the_program_froze_stays_frozen() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    with freeze_gc():
        assert gc.get_freeze_count() <= before
    assert 0 < gc.get_freeze_count() <= before
