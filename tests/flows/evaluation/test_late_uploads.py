"""What is uploaded to a finished job is not true until somebody has looked at the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

from cvat_flows.flows.evaluation.review_parameters import ReviewTaskParameters
from cvat_flows.flows.in_process import review_here, run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.reports.evaluation.review_report import review_markdown
from tests.flows.evaluation.conftest import Evaluate, finish

A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 40.0, 20.0)
FOUND = {0: [("car", A, 0.9)], 1: [("car", A, 0.9)], 2: []}


@pytest.fixture
def annotate(client: Client, storage_folder: Any) -> Callable[..., None]:
    """`annotate(task, function=..., ...)` uploads what the function detects."""

    def run(task: Any, **options: Any) -> None:
        parameters = AnnotateTaskParameters(task_id=task.id, **options)
        finished = run_here(parameters, LiveInputs(client=client))
        assert finished.error is None

    return run


def reopen(job: Any) -> None:
    job.update(models.PatchedJobWriteRequest(state="in progress"))


def test_uploads_before_a_person_finished_the_job_are_true(
    make_task: Callable[..., Any], plant: Any, annotate: Callable[..., None], evaluate: Evaluate
) -> None:
    task = make_task(3, labels=["car", "dog"])
    annotate(task, **plant(FOUND))
    (job,) = task.get_jobs()
    finish(job)
    report = evaluate(task, **plant(FOUND))
    assert report.truth.frames == {0, 1, 2}
    assert report.evaluation.overall.counts.precision == 1


def test_uploads_after_that_are_not_true_until_the_job_changes(
    make_task: Callable[..., Any],
    plant: Any,
    draw: Any,
    annotate: Callable[..., None],
    evaluate: Evaluate,
) -> None:
    task = make_task(3, labels=["car", "dog"])
    (job,) = task.get_jobs()
    draw(job, {0: [("car", B)], 2: [("dog", B)]})
    finish(job)
    function = plant(FOUND)
    annotate(task, frames="0", **function)
    annotate(task, frames="1-2", **function)  # a second run, after the first
    report = evaluate(task, **function)
    assert report.truth.frames == {2}
    assert any(
        "2 frames of finished jobs left out: a function annotated" in note
        for note in report.notes()
    )

    reopen(job)
    finish(job)
    report = evaluate(task, **function)
    assert report.truth.frames == {0, 1, 2}
    assert not report.truth.notes


def test_a_person_who_changes_one_annotation_has_looked_at_the_job(
    make_task: Callable[..., Any],
    client: Client,
    plant: Any,
    annotate: Callable[..., None],
    evaluate: Evaluate,
) -> None:
    task = make_task(2, labels=["car", "dog"])
    (job,) = task.get_jobs()
    finish(job)
    function = plant(FOUND)
    annotate(task, **function)
    with pytest.raises(NoTruth, match="2 frames of finished jobs left out"):
        evaluate(task, **function)
    shape = job.get_annotations().shapes[0]
    job.update_annotations(
        models.PatchedLabeledDataRequest(
            shapes=[
                models.LabeledShapeRequest(
                    id=shape.id,
                    type="rectangle",
                    frame=shape.frame,
                    label_id=shape.label_id,
                    points=list(B),
                )
            ]
        ),
        action=AnnotationUpdateAction.UPDATE,
    )
    assert evaluate(task, **function).truth.frames == {0, 1}


def test_two_functions_after_the_job_was_finished(
    make_task: Callable[..., Any], plant: Any, annotate: Callable[..., None], evaluate: Evaluate
) -> None:
    """The uploads of one do not count as work of people on those of the other."""
    task = make_task(3, labels=["car", "dog"])
    (job,) = task.get_jobs()
    finish(job)
    annotate(task, frames="0", **plant({0: [("car", A, 0.9)]}, name="one"))
    annotate(task, frames="1", **plant({1: [("dog", B, 0.9)]}, name="other"))
    with pytest.raises(NoTruth, match="has no object to compare on 1 frame"):
        evaluate(task, **plant(FOUND))


def test_a_review_leaves_them_out(
    make_task: Callable[..., Any], client: Client, plant: Any, annotate: Callable[..., None]
) -> None:
    task = make_task(3, labels=["car", "dog"])
    (job,) = task.get_jobs()
    function = plant(FOUND)
    annotate(task, frames="0", **function)
    finish(job)
    annotate(task, frames="1-2", **function)
    live = LiveInputs(client=client)
    report = review_here(ReviewTaskParameters(task_id=task.id), live)
    assert (report.overall.uploaded, report.late) == (1, 2)
    assert "2 frames left out: annotated after" in review_markdown(report)
    chosen = review_here(ReviewTaskParameters(task_id=task.id, jobs=[job.id]), live)
    assert (chosen.overall.uploaded, chosen.remark) == (2, "")
    reopen(job)
    finish(job)
    assert review_here(ReviewTaskParameters(task_id=task.id), live).overall.uploaded == 2


def test_a_review_of_nothing_else_says_why(
    make_task: Callable[..., Any], client: Client, plant: Any, annotate: Callable[..., None]
) -> None:
    task = make_task(1, labels=["car", "dog"])
    (job,) = task.get_jobs()
    finish(job)
    annotate(task, **plant(FOUND))
    with pytest.raises(NoTruth, match=r"came after people had finished them \(1 frame\)"):
        review_here(ReviewTaskParameters(task_id=task.id), LiveInputs(client=client))
