"""What became of uploaded annotations: the figures are what a script did in people's place."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.evaluation.review import review_finished_tasks, review_task
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.flows.in_process import rank_here, review_here
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.reports.evaluation.review_report import (
    ReviewReport,
    review_csv,
    review_markdown,
    review_parquet,
)
from tests.flows.evaluation.conftest import finish

A = [0.0, 0.0, 10.0, 10.0]
MOVED = [0.0, 0.0, 10.0, 8.0]  # IoU 0.8
AWAY = [30.0, 20.0, 60.0, 40.0]
FOUND = {n: [("car", A, 0.9)] for n in range(8)}


class Person:
    """Somebody who corrects a job."""

    def __init__(self, client: Client, job: Any) -> None:
        self.job = job
        labels = client.tasks.retrieve(job.task_id).get_labels()
        self.labels = {label.name: label.id for label in labels}

    def change(self, frame: int, **fields: Any) -> None:
        (one,) = [shape for shape in self.job.get_annotations().shapes if shape.frame == frame]
        values = {"label_id": one.label_id, "points": one.points, **fields}
        shape = models.LabeledShapeRequest(id=one.id, type="rectangle", frame=frame, **values)
        self._send(AnnotationUpdateAction.UPDATE, shape)

    def delete(self, frame: int) -> None:
        shapes = self.job.get_annotations().shapes
        self.job.remove_annotations(ids=[shape.id for shape in shapes if shape.frame == frame])

    def draw(self, frame: int, label: str, points: list[float]) -> None:
        shape = models.LabeledShapeRequest(
            type="rectangle", frame=frame, label_id=self.labels[label], points=points
        )
        self._send(AnnotationUpdateAction.CREATE, shape)

    def _send(self, action: AnnotationUpdateAction, shape: Any) -> None:
        self.job.update_annotations(models.PatchedLabeledDataRequest(shapes=[shape]), action=action)


@pytest.fixture
def corrected(
    make_task: Callable[..., Any], client: Client, annotate: Any, plant: Any
) -> tuple[Any, dict[str, Any]]:
    """A task that was annotated, corrected by a person and finished, and the function."""
    task = make_task(8, labels=["car", "dog"])
    options = plant(FOUND)
    annotate(task, **options)
    (job,) = task.get_jobs()
    person = Person(client, job)
    # The frames 0 and 7 stay as they are.
    person.change(1, points=MOVED)
    person.change(2, label_id=person.labels["dog"])
    person.delete(3)
    person.draw(4, "dog", AWAY)
    person.delete(5)
    person.draw(5, "car", MOVED)
    person.change(6, points=AWAY)
    finish(job)
    return task, options


@pytest.fixture
def _client(client: Client, storage_folder: Path) -> Iterator[None]:
    with use_live_inputs(LiveInputs(client=client)):
        yield


@pytest.mark.usefixtures("_client")
class TestReview:
    def test_the_figures_are_what_people_did(self, corrected: Any) -> None:
        task, options = corrected
        report = review_task(ReviewTaskParameters(task_id=task.id, **options))
        assert whats(report) == {
            "kept": 3,
            "moved": 2,
            "relabelled": 1,
            "deleted": 2,  # one of them was moved away
            "added": 2,
        }
        car, dog = report.by_label()["car"], report.by_label()["dog"]
        assert (car.uploaded, car.right, car.precision) == (8, 5, 5 / 8)
        assert car.mean_moved == pytest.approx(0.8)
        assert car.recall == 5 / 6
        assert (dog.precision, dog.recall) == (None, 0)
        overall = report.overall
        assert (overall.precision, overall.recall) == (5 / 8, 5 / 8)

    def test_without_the_function_ids_and_digests_tell(self, corrected: Any) -> None:
        task, _ = corrected
        report = review_task(ReviewTaskParameters(task_id=task.id))
        # Of frame 5 nobody knows that the new car is where the old one was.
        assert whats(report) == {
            "kept": 3,
            "unclear": 2,  # nobody knows that one of them was moved away
            "relabelled": 1,
            "deleted": 2,
            "added": 2,
        }
        assert report.by_label()["car"].precision == 5 / 8

    def test_the_pages_and_files(self, corrected: Any) -> None:
        task, options = corrected
        report = review_task(ReviewTaskParameters(task_id=task.id, **options))
        page = review_markdown(report)
        assert "| label | uploaded | precision | recall | mean IoU |" in page
        assert "| car | 8 | 0.625 | 0.833 | 0.800 |" in page
        assert (
            "| label | kept | moved | relabelled | attributes | unclear | deleted | added |" in page
        )
        assert "| car | 3 | 2 | 1 | 0 | 0 | 2 | 1 |" in page
        assert "![precision by week of upload](data:image/svg+xml" in page
        frame = pd.read_parquet(io.BytesIO(review_parquet(report)))
        assert Counter(frame["what"]) == whats(report)
        assert set(frame["task_id"]) == {task.id}
        assert b"car" in review_csv(report)
        assert [name for name, _ in report.files] == ["review.csv", "review.parquet", "review.md"]

    def test_what_other_functions_uploaded_was_not_added_by_people(
        self, make_task: Callable[..., Any], annotate: Any, plant: Any
    ) -> None:
        task = make_task(1, labels=["car", "dog"])
        annotate(task, **plant({0: [("car", A, 0.9)]}))
        annotate(task, **plant({0: [("dog", AWAY, 0.9)]}, name="second"))
        (job,) = task.get_jobs()
        finish(job)
        report = review_task(ReviewTaskParameters(task_id=task.id))
        assert whats(report) == {"kept": 2}
        assert len({row.function for row in report.rows}) == 2

    def test_nothing_to_review(
        self, make_task: Callable[..., Any], annotate: Any, plant: Any
    ) -> None:
        task = make_task(1, labels=["car", "dog"])
        options = plant({0: [("car", A, 0.9)]})
        with pytest.raises(NoTruth, match=r"has no record of the function 'planted\.py@"):
            review_task(ReviewTaskParameters(task_id=task.id, **options))
        annotate(task, **options)
        with pytest.raises(NoTruth, match="no job of it is finished"):
            review_task(ReviewTaskParameters(task_id=task.id))

    def test_all_finished_tasks(
        self, corrected: Any, make_task: Callable[..., Any], annotate: Any
    ) -> None:
        task, options = corrected
        open_task = make_task(1, labels=["car", "dog"])
        annotate(open_task, **options)
        report = review_finished_tasks(ReviewFinishedTasksParameters())
        assert {row.task_id for row in report.rows} == {task.id}
        assert report.title == "1 task, uploads of the last 90 days"
        assert report.notes == ()
        assert report.files[0][1].startswith("results/reviews/")

    def test_records_of_earlier_versions_do_not_know_the_labels(
        self, corrected: Any, storage_folder: Path
    ) -> None:
        for file in (storage_folder / "manifest").rglob("frames-*.json"):
            text = re.sub(r',"labels":\[[0-9,]+\]', "", file.read_text())
            file.write_text(re.sub(r'"labels": \["car"\],?\n|"labels": \["car"\],', "", text))
        report = review_finished_tasks(ReviewFinishedTasksParameters())
        assert whats(report) == {"kept": 3, "unclear": 3, "deleted": 2, "added": 2}
        assert report.by_label()["(unknown)"].counts["deleted"] == 2
        (tonight,) = report.history
        assert tonight.unknown == 2
        assert tonight.of("car").precision == 5 / 7

    def test_frames_of_several_versions_count_for_none(
        self, make_task: Callable[..., Any], annotate: Any, plant: Any
    ) -> None:
        task = make_task(2, labels=["car", "dog"])
        annotate(task, **plant({0: [("car", A, 0.9)], 1: [("car", A, 0.9)]}))
        annotate(task, frames="0", **plant({0: [("dog", AWAY, 0.9)]}))
        (job,) = task.get_jobs()
        finish(job)
        report = review_finished_tasks(ReviewFinishedTasksParameters())
        assert whats(report) == {"kept": 3}
        assert {row.frame for row in report.rows if row.fingerprint} == {1}
        (tonight,) = report.history
        assert (tonight.overall.right, list(tonight.labels)) == (1, ["car"])

    def test_figures_are_kept_over_nights(self, corrected: Any, storage_folder: Path) -> None:
        report = review_finished_tasks(ReviewFinishedTasksParameters())
        (tonight,) = report.history
        car = tonight.labels["car"]
        # A person deleted two of eight, relabelled one, and drew a car of which nothing is known.
        assert (car.right, car.extra, car.missed) == (5, 3, 1)
        assert (tonight.overall.right, tonight.overall.missed) == (5, 3)
        (file,) = (storage_folder / "quality" / "reviews").rglob("*.json")
        earlier = (
            file.read_text().replace(tonight.date, "2026-11-01").replace('"right": 5', '"right": 4')
        )
        file.with_name("2026-11-01.json").write_text(earlier)
        report = review_finished_tasks(ReviewFinishedTasksParameters())
        assert [one.date for one in report.history] == ["2026-11-01", tonight.date]
        page = review_markdown(report)
        assert f"| label | 2026-11-01 | {tonight.date} |" in page
        assert "| car | 0.571 / 0.800 | 0.625 / 0.833 |" in page
        table = pd.read_parquet(storage_folder / "quality" / "history.parquet")
        assert table[table.label == "car"].precision.tolist() == [4 / 7, 5 / 8]


def whats(report: ReviewReport) -> Counter[str]:
    return Counter(row.what for row in report.rows)


def test_the_flows_in_prefect(
    corrected: Any, client: Client, storage_folder: Path, prefect_server: None
) -> None:
    task, options = corrected
    live = LiveInputs(client=client)
    report = review_here(ReviewTaskParameters(task_id=task.id, **options), live)
    assert whats(report)["kept"] == 3
    assert whats(review_here(ReviewFinishedTasksParameters(), live))["kept"] == 3
    ranked = rank_here(RankFramesParameters(task_id=task.id, **options), live)
    assert len(ranked.predictions.frames) == 8
