"""The detect runs say in the Prefect UI how many frames the cache had."""

from __future__ import annotations

from typing import Any

from tests.flows.conftest import Annotate
from tests.support.prefect_records import task_runs_of


def detect_runs(finished: Any) -> list[tuple[str, str, str | None]]:
    def has_ended(run: Any) -> bool:
        return run.state is not None and run.state.is_final()

    runs = task_runs_of(
        finished,
        lambda runs: (
            any(r.name.startswith("remap ") and has_ended(r) for r in runs)
            and all(has_ended(r) for r in runs if r.name.startswith("detect "))
        ),
    )
    return [
        (run.task_key.rpartition("-")[0] or run.task_key, run.state.name, run.state.message)
        for run in runs
        if run.name.startswith("detect ")
    ]


def test_a_batch_from_the_cache_ends_cached(make_task: Any, annotate_in_prefect: Annotate) -> None:
    task = make_task(count=6)
    first = annotate_in_prefect(task, frames="0-3", dry_run=True)
    assert [state[1:] for state in detect_runs(first)] == [("Completed", "")]
    partly = annotate_in_prefect(task, dry_run=True)
    assert [state[1:] for state in detect_runs(partly)] == [
        ("Completed", "4 of 6 frames from the cache")
    ]
    wholly = annotate_in_prefect(task)
    assert [state[1:] for state in detect_runs(wholly)] == [
        ("Cached", "6 of 6 frames from the cache")
    ]
    assert wholly.report_or_raise().count("annotated") == 6
    # It is the same task, whether its frames come from the cache or from the function.
    assert len({key for key, *_ in [*detect_runs(first), *detect_runs(wholly)]}) == 1
