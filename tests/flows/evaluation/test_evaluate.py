"""An evaluation of a function on a CVAT task: the figures are what arithmetic says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from pydantic import ValidationError

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.tasks.cvat.client import http
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.evaluate.errors import AnnotationFileError, LabelsDiffer, NoTruth
from cvat_flows.tasks.reports.evaluation.files import evaluation_json
from cvat_flows.tasks.reports.evaluation.markdown import evaluation_markdown
from cvat_flows.tasks.reports.evaluation.server_quality import quality_sentence
from tests.flows.evaluation.conftest import Evaluate, accept, finish

MakeTask = Callable[..., Any]
LABELS = ["car", "dog", "tree"]
A, B, C = (0, 0, 10, 10), (20, 0, 40, 20), (40, 20, 60, 40)
NEAR_A = (0, 0, 10, 8)  # IoU 0.8 with A

TRUTH = {0: [("car", A), ("car", B)], 1: [("dog", C)], 2: [("car", A)]}
FOUND = {
    0: [("car", NEAR_A, 0.9), ("dog", B, 0.8)],  # right, and a car taken for a dog
    1: [("dog", C, 0.7), ("car", A, 0.6)],  # right, and an extra car
    3: [("car", A, 0.2)],  # an extra car with a low score; frame 2 lacks its car
}


@pytest.fixture
def checked(make_task: MakeTask, draw: Any) -> Any:
    """A task with four frames whose only job a person has finished."""
    task = make_task(4, labels=LABELS)
    (job,) = task.get_jobs()
    draw(job, TRUTH)
    finish(job)
    return task


class TestFigures:
    def test_they_are_what_arithmetic_says(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        report = evaluate(checked, label_thresholds={"*": 0.5}, **plant(FOUND))
        figures = dict(report.labelled())
        car, dog, overall = figures["car"], figures["dog"], report.evaluation.overall
        assert (car.counts.right, car.counts.extra, car.counts.missed) == (1, 1, 2)
        assert (car.counts.precision, car.counts.recall) == (1 / 2, 1 / 3)
        assert (dog.counts.right, dog.counts.extra, dog.counts.missed) == (1, 1, 0)
        assert overall.counts.precision == 2 / 4
        assert overall.counts.recall == 2 / 4
        assert report.evaluation.mean_likeness == pytest.approx((0.8 + 1) / 2)
        # One of three cars is found, first: 34 of COCO's 101 recalls are reached.
        assert car.ap50 == pytest.approx(34 / 101)
        # For dogs the extra one has the higher score.
        assert dog.ap50 == pytest.approx(1 / 2)
        assert overall.ap50 == pytest.approx((34 / 101 + 1 / 2) / 2)
        # NEAR_A is good enough for 0.50 to 0.80: seven of ten.
        assert car.ap50_95 == pytest.approx(34 / 101 * 7 / 10)

    def test_confusion(self, checked: Any, plant: Any, evaluate: Evaluate) -> None:
        report = evaluate(checked, label_thresholds={"*": 0.5}, **plant(FOUND))
        cells = {
            (report.name(true), report.name(found)): count
            for (true, found), count in report.evaluation.confusion.items()
        }
        assert cells == {
            ("car", "car"): 1,
            ("car", "dog"): 1,
            ("dog", "dog"): 1,
            ("nothing", "car"): 1,
            ("car", "nothing"): 1,
        }

    def test_a_figure_of_nothing_is_a_dash(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        report = evaluate(checked, **plant({0: [("tree", A, 0.5)]}, labels="car,dog,tree"))
        rows = {row[0]: row[1:] for row in report.rows()}
        assert rows["dog"] == ("1", "0", "-", "0.000", "0.000", "0.000", "0.000")
        assert rows["tree"] == ("0", "1", "0.000", "-", "0.000", "-", "-")
        assert report.evaluation.mean_likeness is None
        assert any("truth has no tree" in note for note in report.notes())

    def test_low_scores_count_for_average_precision_only(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        found = {2: [("car", A, 0.3)], **FOUND}
        options = plant(found)
        without = evaluate(checked, conf_threshold=0.5, **options)
        with_low = evaluate(checked, conf_threshold=0.5, lowest_score=0.05, **options)
        assert with_low.evaluation.overall.counts == without.evaluation.overall.counts
        low, high = dict(with_low.labelled())["car"], dict(without.labelled())["car"]
        assert low.ap50
        assert high.ap50
        assert low.ap50 > high.ap50

    def test_nothing_is_written_and_the_cache_is_used(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        before = checked.get_annotations().to_dict()
        evaluate(checked, **plant(FOUND))
        again = evaluate(checked, **plant(FOUND))
        assert again.predictions.cached == 4
        assert checked.get_annotations().to_dict() == before

    def test_frames_on_which_the_function_fails_are_not_evaluated(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        report = evaluate(checked, **plant({**FOUND, 0: "fail"}))
        assert report.frame_count == 3
        assert "failed on 1 frame" in report.notes()[0]
        assert report.evaluation.overall.counts.true == 2


class TestTruth:
    def test_a_ground_truth_job_must_be_accepted(
        self, make_task: MakeTask, client: Client, draw: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        task = make_task(4, labels=LABELS)
        spec = models.JobWriteRequest(
            task_id=task.id,
            type="ground_truth",
            frame_selection_method="manual",
            frames=[0, 2],
        )
        client.jobs.api.create(spec)
        (job,) = [job for job in task.get_jobs() if job.type == "ground_truth"]
        draw(job, {0: [("car", A)]})
        with pytest.raises(NoTruth, match=f"not accepted, job {job.id} .stage annotation"):
            evaluate(task, truth="ground-truth", **plant(FOUND))
        accept(client.jobs.retrieve(job.id))
        report = evaluate(task, **plant(FOUND))
        assert report.truth.source == f"ground-truth job {job.id}"
        assert report.truth.frames == {0, 2}
        assert report.evaluation.overall.counts.missed == 0

    def test_unchanged_annotations_of_a_function_are_not_true_before_the_job_is_finished(
        self, make_task: MakeTask, client: Client, draw: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        task = make_task(5, labels=LABELS)
        (job,) = task.get_jobs()
        draw(job, {0: [("car", A)], 1: [("car", A)]})
        draw(job, {1: [("dog", C)], 2: [("car", B)]}, source="auto")
        report = evaluate(task, truth_jobs=[job.id], **plant(FOUND))
        assert report.truth.frames == {0}
        assert [note.partition(" of")[0] for note in report.truth.notes] == ["2 frames"] * 2
        finish(job)
        report = evaluate(task, truth_jobs=[job.id], **plant(FOUND))
        assert report.truth.frames == {0, 1, 2, 3, 4}
        assert report.evaluation.overall.counts.true == 4

    def test_what_this_project_uploaded_is_not_a_persons_word(
        self, make_task: MakeTask, annotate: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        task = make_task(2, labels=LABELS)
        options = plant(FOUND)
        annotate(task, **options)
        (job,) = task.get_jobs()
        with pytest.raises(NoTruth, match="2 frames of unfinished jobs left out"):
            evaluate(task, truth_jobs=[job.id], **options)

    def test_no_job_is_finished(self, make_task: MakeTask, plant: Any, evaluate: Evaluate) -> None:
        task = make_task(2, labels=LABELS)
        with pytest.raises(NoTruth, match=r"no job is finished .*--truth-jobs"):
            evaluate(task, **plant(FOUND))
        with pytest.raises(NoTruth, match=r"has the jobs .* and not 99999999"):
            evaluate(task, truth_jobs=[99999999], **plant(FOUND))

    def test_labels_that_the_function_does_not_detect(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        options = plant({0: [("car", A, 0.9)]}, labels="car")
        with pytest.raises(LabelsDiffer, match=r"'dog' \(1 object\).*--allow-unmatched-labels"):
            evaluate(checked, **options)
        report = evaluate(checked, allow_unmatched_labels=True, **options)
        assert report.evaluation.overall.counts.true == 3
        assert any("'dog'" in note for note in report.notes())

    def test_frames_without_a_truth(
        self, make_task: MakeTask, draw: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        task = make_task(4, labels=LABELS, segment_size=2)
        first, _ = sorted(task.get_jobs(), key=lambda job: job.start_frame)
        draw(first, {0: [("car", A)]})
        finish(first)
        with pytest.raises(NoTruth, match="no truth on the frames 2-3"):
            evaluate(task, frames="2-3", **plant(FOUND))
        with pytest.raises(NoTruth, match="no object to compare on 1 frame"):
            evaluate(task, frames="1", **plant(FOUND))


class TestFiles:
    def test_coco(
        self, make_task: MakeTask, plant: Any, evaluate: Evaluate, tmp_path: Path
    ) -> None:
        task = make_task(4, labels=LABELS)
        path = tmp_path / "truth.json"
        images = [{"id": n, "file_name": f"img_{n:04d}.jpg", "width": 64, "height": 48}
                  for n in range(3)]  # fmt: skip
        annotations = [
            {"image_id": 0, "category_id": 7, "bbox": [0, 0, 10, 10]},
            {"image_id": 1, "category_id": 8, "bbox": [40, 20, 20, 20]},
        ]
        categories = [{"id": 7, "name": "car"}, {"id": 8, "name": "dog"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(content))
        report = evaluate(task, truth_file=str(path), **plant(FOUND))
        assert report.frame_count == 3
        assert report.evaluation.overall.counts.right == 2
        images[0]["file_name"] = images[1]["file_name"] = images[2]["file_name"] = "other.jpg"
        path.write_text(json.dumps(content))
        with pytest.raises(AnnotationFileError, match=r"is about other images: .*'other.jpg'"):
            evaluate(task, truth_file=str(path), **plant(FOUND))

    def test_cvat_xml_as_cvat_writes_it(
        self, make_task: MakeTask, plant: Any, evaluate: Evaluate, tmp_path: Path
    ) -> None:
        task = make_task(4, labels=LABELS)
        path = tmp_path / "truth.xml"
        path.write_text(
            '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
            '<image id="0" name="img_0000.jpg" width="64" height="48">'
            '<box label="car" source="manual" occluded="0" xtl="0" ytl="0" xbr="10" ybr="10"/>'
            '</image><image id="9" name="else.jpg" width="64" height="48"></image></annotations>'
        )
        report = evaluate(task, truth_file=str(path), **plant(FOUND))
        assert report.frame_count == 1
        assert report.evaluation.overall.counts.right == 1
        assert "1 image of the file left out" in report.notes()[0]

    @pytest.mark.parametrize("content", ["{}", "[1]", "<a/>", "<!DOCTYPE x><annotations/>", "x"])
    def test_other_files(
        self, make_task: MakeTask, plant: Any, evaluate: Evaluate, tmp_path: Path, content: str
    ) -> None:
        path = tmp_path / "truth.txt"
        path.write_text(content)
        with pytest.raises(AnnotationFileError, match="neither COCO nor CVAT XML"):
            evaluate(make_task(1), truth_file=str(path), **plant({}, labels="car"))


def test_truths_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="choose one"):
        EvaluateTaskParameters(task_id=1, truth_file="a.json", truth_jobs=[1])


class TestServerQuality:
    """CVAT's own quality report is shown beside ours."""

    def test_the_newest_one_is_shown(
        self, sandbox: SandboxProcess, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        sandbox.plant_quality_report(checked.id, accuracy=0.1, precision=0.1, recall=0.1)
        number = sandbox.plant_quality_report(
            checked.id, accuracy=0.5, precision=0.75, recall=0.625, validation_frames=3
        )
        report = evaluate(checked, label_thresholds={"*": 0.5}, **plant(FOUND))
        quality = report.server_quality
        assert quality is not None
        assert (quality.id, quality.frames, quality.precision) == (number, 3, 0.75)
        assert (quality.target_metric, quality.target, quality.least_iou) == ("accuracy", 0.7, 0.4)
        page = evaluation_markdown(report)
        assert f"[Report {number}]({report.media.task_url}/quality-control)" in page
        # Two right ones, two extra and two missed.
        assert "| accuracy | 0.333 | 0.500 |" in page
        assert "| precision | 0.500 | 0.750 |" in page
        assert "| recall | 0.500 | 0.625 |" in page
        assert json.loads(evaluation_json(report))["cvat_quality_report"]["recall"] == 0.625
        assert "accuracy 0.500, precision 0.750, recall 0.625" in quality_sentence(quality)
        assert "its target is accuracy 0.7" in quality_sentence(quality)

    @pytest.mark.parametrize("status", [403, 404, 503])
    def test_a_server_without_reports_shows_nothing(
        self,
        sandbox: SandboxProcess,
        monkeypatch: pytest.MonkeyPatch,
        checked: Any,
        plant: Any,
        evaluate: Evaluate,
        status: int,
    ) -> None:
        monkeypatch.setattr(http, "DEFAULT_POLICY", RetryPolicy(max_attempts=2, first_wait=0.01))
        sandbox.plant_quality_report(checked.id, accuracy=0.5)
        rule = {"action": "status", "status": status, "path": "/api/quality/", "times": None}
        sandbox.set_faults([rule])
        try:
            report = evaluate(checked, **plant(FOUND))
        finally:
            sandbox.clear_faults()
        assert report.server_quality is None
        assert report.is_complete
        assert "quality" not in evaluation_markdown(report)

    def test_a_task_without_a_report_shows_nothing(
        self, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        assert evaluate(checked, **plant(FOUND)).server_quality is None

    def test_a_server_that_knows_other_figures(
        self, sandbox: SandboxProcess, checked: Any, plant: Any, evaluate: Evaluate
    ) -> None:
        sandbox.plant_quality_report(checked.id, conflict_count=3)
        quality = evaluate(checked, **plant(FOUND)).server_quality
        assert quality is not None
        assert "accuracy -, precision -, recall -" in quality_sentence(quality)
