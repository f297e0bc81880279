"""The engine of the current run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cvat_flows.tasks.engine.engine import Engine, Logger
from cvat_flows.tasks.engine.plain import PlainEngine

_engine: ContextVar[Engine] = ContextVar("engine")


def current_engine() -> Engine:
    """Return the engine of the current run; outside of a run, one that calls the steps."""
    engine = _engine.get(None)
    if engine is None:
        engine = PlainEngine()
    return engine


@contextmanager
def use_engine(engine: Engine) -> Iterator[None]:
    """Run the steps inside this context with an engine."""
    token = _engine.set(engine)
    try:
        yield
    finally:
        _engine.reset(token)


def run_logger() -> Logger:
    """Return the log of the current run or step."""
    return current_engine().logger()


@contextmanager
def warn_on_error(what: str) -> Iterator[None]:
    """Log a warning if `what` cannot be written: the annotations are what counts."""
    try:
        yield
    except Exception as error:
        run_logger().warning("%s could not be written: %s", what, error)
