"""How long the batches of a run are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.run.prepare import SHORT_BATCH_SIZE, make_plan
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.plain import PlainEngine
from tests.tasks.fetch.media_factory import make_media

SINGLE = SimpleNamespace(detect=lambda context, image: [])
BATCHED = SimpleNamespace(detect=SINGLE.detect, detect_batch=lambda contexts, images: [])


def longest_batch(function: Any, *, is_recorded: bool = False, **options: Any) -> int:
    context: Any = SimpleNamespace(
        parameters=AnnotateTaskParameters(task_id=1, **options),
        function=SimpleNamespace(function=function),
        live=LiveInputs(),
        media=make_media(size=144, chunk_size=72),
    )
    notes: Any = SimpleNamespace(once=frozenset(), twice=frozenset())
    engine: Any = PlainEngine()
    engine.is_recorded = is_recorded
    with use_engine(engine):
        plan = make_plan(context, notes)
    assert plan.frame_count == 144
    return max(len(batch.frames) for batch in plan.batches)


def test_batches_are_short_if_nothing_gains_from_long_ones() -> None:
    assert longest_batch(SINGLE) == SHORT_BATCH_SIZE


@pytest.mark.parametrize(
    ("function", "is_recorded"), [(SINGLE, True), (BATCHED, False), (BATCHED, True)]
)
def test_long_batches_save_task_runs_and_calls(function: Any, is_recorded: bool) -> None:
    assert longest_batch(function, is_recorded=is_recorded) == 72


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_given_number_of_frames_counts_always(is_recorded: bool) -> None:
    assert longest_batch(SINGLE, is_recorded=is_recorded, frames_per_run=36) == 36
    assert longest_batch(SINGLE, is_recorded=is_recorded, frames_per_run=72) == 72
