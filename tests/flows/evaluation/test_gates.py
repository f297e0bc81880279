"""Rules that ask for quality: the sweep leaves tasks while the function is not good enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

from cvat_flows.flows.cli import main
from cvat_flows.flows.evaluation.review_parameters import ReviewFinishedTasksParameters
from cvat_flows.flows.in_process import review_here, sweep_here
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.settings import command_line_settings
from cvat_flows.tasks.reports.evaluation.markdown import evaluation_markdown
from tests.flows.evaluation.conftest import Evaluate, finish

CAR, AWAY = (0.0, 0.0, 10.0, 10.0), (30.0, 20.0, 50.0, 40.0)
COUNT = 12
GOOD = {n: [("car", CAR, 0.9)] for n in range(COUNT)}
BAD = {n: [("car", CAR if n % 2 else AWAY, 0.9)] for n in range(COUNT)}
GATE = {"min_precision": {"car": 0.9}, "min_objects": 10}

Sweep = Callable[..., SweepReport]


@pytest.fixture
def sweep(sandbox: Any, storage_folder: Path) -> Iterator[Sweep]:
    """`sweep(task, rule...)` applies a rule to one task."""
    settings = ServerSettings(host=sandbox.url, username="admin", password="admin")
    token = command_line_settings.set(settings)

    def run(task: Any, **rule: Any) -> SweepReport:
        parameters = AnnotateNewTasksParameters(
            rules=[SweepRule(name="streets", task_name=task.name, **rule)]
        )
        return sweep_here(parameters)

    yield run
    command_line_settings.reset(token)


@pytest.fixture
def checked(make_task: Callable[..., Any], draw: Any) -> Any:
    """A task in which a person has drawn a car on each frame."""
    task = make_task(COUNT, labels=["car", "dog"], name="checked by people")
    (job,) = task.get_jobs()
    draw(job, {n: [("car", CAR)] for n in range(COUNT)})
    finish(job)
    return task


@pytest.fixture
def new_task(make_task: Callable[..., Any]) -> Any:
    return make_task(COUNT, labels=["car", "dog"], name="gated street")


def outcome(report: SweepReport) -> tuple[str, str]:
    (row,) = report.rows
    return row.outcome, row.text


def cars(task: Any) -> list[list[float]]:
    return [shape.points for shape in task.get_annotations().shapes]


class TestByEvaluation:
    def test_a_version_that_was_never_measured_says_what_to_run(
        self, new_task: Any, plant: Any, sweep: Sweep
    ) -> None:
        options = plant(GOOD)
        report = sweep(new_task, **options, **GATE, options={"conf_threshold": 0.4})
        what, why = outcome(report)
        assert what == "held back"
        assert why.startswith("this version was never measured with these options: run `cvat-flows")
        assert f"evaluate TASK --function {options['function']} " in why
        assert "--conf-threshold 0.4" in why
        assert "1 held back; rule streets: this version was never" in report.sentence
        assert not report.failed
        assert why.replace("`", "\\`")[:60] in report.markdown()
        assert not cars(new_task)

    def test_a_good_version_passes_and_one_made_worse_fails(
        self, new_task: Any, checked: Any, plant: Any, sweep: Sweep, evaluate: Evaluate
    ) -> None:
        evaluate(checked, **plant(BAD))
        assert outcome(sweep(new_task, **plant(BAD), **GATE)) == (
            "held back",
            "the precision of 'car' is 0.500, wanted 0.900, on 12 detections (evaluation of "
            f"{_today()})",
        )
        evaluate(checked, **plant(GOOD))
        assert outcome(sweep(new_task, **plant(GOOD), **GATE))[0] == "annotated"
        assert len(cars(new_task)) == COUNT

    def test_too_few_objects(
        self, new_task: Any, checked: Any, plant: Any, sweep: Sweep, evaluate: Evaluate
    ) -> None:
        options = plant(GOOD)
        evaluate(checked, **options)
        report = sweep(new_task, **options, min_precision={"car": 0.9})
        assert outcome(report) == (
            "held back",
            "the precision of 'car' cannot be judged, wanted 0.900: it was measured on 12 "
            "detections, and min_objects is 50",
        )

    def test_other_options_must_be_measured_too(
        self, new_task: Any, checked: Any, plant: Any, sweep: Sweep, evaluate: Evaluate
    ) -> None:
        options = plant(GOOD)
        evaluate(checked, conf_threshold=0.5, **options)
        rule = {**options, **GATE}
        assert outcome(sweep(new_task, **rule))[0] == "held back"
        report = sweep(new_task, **rule, options={"conf_threshold": 0.5})
        assert outcome(report)[0] == "annotated"

    @pytest.mark.parametrize("how", [{"frames": "0-10"}, {"iou": 0.7}])
    def test_part_of_an_evaluation_is_not_kept(
        self,
        new_task: Any,
        checked: Any,
        plant: Any,
        sweep: Sweep,
        evaluate: Evaluate,
        how: dict[str, Any],
    ) -> None:
        options = plant(GOOD)
        evaluate(checked, **how, **options)
        assert "never measured" in outcome(sweep(new_task, **options, **GATE))[1]


def test_evaluations_of_a_task_are_followed_over_time(
    checked: Any, plant: Any, evaluate: Evaluate, storage_folder: Path
) -> None:
    evaluate(checked, **plant(BAD))
    (file,) = (storage_folder / "quality").rglob("*.json")
    file.write_text(file.read_text().replace(_today(), "2026-11-01"))
    report = evaluate(checked, **plant(GOOD))
    page = evaluation_markdown(report)
    assert f"| label | 2026-11-01 | {_today()} |" in page
    assert "| car | 0.500 / 0.500 | 1.000 / 1.000 |" in page
    old, new = (one.version for one in report.history)
    assert f"| version | {old} | {new} |" in page


def test_by_review_the_figure_is_what_people_did(
    make_task: Callable[..., Any],
    new_task: Any,
    client: Client,
    annotate: Any,
    plant: Any,
    sweep: Sweep,
) -> None:
    options = plant(GOOD)
    task = make_task(COUNT, labels=["car", "dog"], name="first street")
    annotate(task, **options)
    (job,) = task.get_jobs()
    shapes = {shape.frame: shape for shape in job.get_annotations().shapes}
    dog = next(label.id for label in task.get_labels() if label.name == "dog")
    job.remove_annotations(ids=[shapes[n].id for n in (0, 1)])
    relabelled = models.LabeledShapeRequest(
        id=shapes[2].id, type="rectangle", frame=2, label_id=dog, points=shapes[2].points
    )
    moved = models.LabeledShapeRequest(
        id=shapes[3].id,
        type="rectangle",
        frame=3,
        label_id=shapes[3].label_id,
        points=[0, 0, 10, 9],
    )
    job.update_annotations(
        models.PatchedLabeledDataRequest(shapes=[relabelled, moved]),
        action=AnnotationUpdateAction.UPDATE,
    )
    rule = {**options, **GATE, "measured_by": "review"}
    review_here(ReviewFinishedTasksParameters(), LiveInputs(client=client))
    assert "never measured by a review" in outcome(sweep(new_task, **rule))[1]
    finish(job)
    review_here(ReviewFinishedTasksParameters(), LiveInputs(client=client))
    # Three of twelve are wrong: two deleted and one relabelled. The moved one is right.
    assert outcome(sweep(new_task, **rule)) == (
        "held back",
        "the precision of 'car' is 0.750, wanted 0.900, on 12 uploaded annotations (review of "
        f"{_today()})",
    )
    rule |= {"min_precision": {"car": 0.75}, "min_recall": {"car": 1.0}, "min_objects": 9}
    assert outcome(sweep(new_task, **rule))[0] == "annotated"


def test_better_runs_the_better_version_and_leaves_the_worse(
    new_task: Any, checked: Any, client: Client, plant: Any, sweep: Sweep, evaluate: Evaluate
) -> None:
    rule = {"again_when": ["failed", "frames", "better"], "options": {"existing": "replace"}}
    middling = {n: [("car", CAR if n % 3 else AWAY, 0.9)] for n in range(COUNT)}
    assert outcome(sweep(new_task, **plant(middling), **rule))[0] == "annotated"
    (job,) = new_task.get_jobs()
    shape = next(one for one in job.get_annotations().shapes if one.frame == 0)
    by_hand = [20.0, 20.0, 30.0, 30.0]
    job.update_annotations(
        models.PatchedLabeledDataRequest(
            shapes=[
                models.LabeledShapeRequest(
                    id=shape.id, type="rectangle", frame=0, label_id=shape.label_id, points=by_hand
                )
            ]
        ),
        action=AnnotationUpdateAction.UPDATE,
    )
    before = cars(new_task)

    def left(planted: Any) -> str:
        report = sweep(new_task, **plant(planted), **rule)
        assert report.rows == []
        assert report.done == 1
        assert cars(new_task) == before
        return report.sentence

    assert "the new version was never evaluated: run `cvat-flows evaluate TASK" in left(BAD)
    evaluate(checked, **plant(BAD))
    assert "of the annotations was never evaluated with its options" in left(BAD)
    evaluate(checked, **plant(middling))
    sentence = left(BAD)
    assert "rule streets: annotated before, the new version is" in sentence
    assert "F1 -0.167" in sentence
    evaluate(checked, **plant(GOOD))
    report = sweep(new_task, **plant(GOOD), **rule)
    assert outcome(report)[0] == "annotated"
    after = sorted(cars(new_task))
    assert after == sorted([*[list(CAR)] * COUNT, by_hand])
    assert sweep(new_task, **plant(GOOD), **rule).sentence == "nothing new: 1 done before"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "min_precision: {carr: 0.9}",
            "rule streets: min_precision names 'carr', which the function 'planted' does not "
            "annotate (did you mean 'car'?)",
        ),
        ("min_recall: {bus: 0.9}", "rule streets: min_recall names 'bus', which the function"),
        ("min_precision: {car: 90}", "min_precision.car 90 should be less than or equal to 1"),
        ("min_precision: 0.9", "min_precision 0.9 should be a mapping such as {car: 0.9}"),
        ("min_objects: 5", "min_objects has no effect without min_precision or min_recall"),
        ("again_when: [better, function]", "function and better contradict each other"),
        ("again_when: [better]\n  only_unannotated: false", "needs only_unannotated: true"),
    ],
)
def test_a_wrong_rule_is_one_sentence_and_status_2(
    sandbox: Any,
    storage_folder: Path,
    plant: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: str,
    message: str,
) -> None:
    for name, value in (("HOST", sandbox.url), ("USER", "admin"), ("PASSWORD", "admin")):
        monkeypatch.setenv(f"CVAT_{name}", value)
    options = plant(GOOD)
    rules = tmp_path / "rules.yaml"
    parameters = options["function_parameters"]
    rules.write_text(
        f"- name: streets\n  function: {options['function']}\n"
        f"  function_parameters: {{planted: {parameters['planted']}, labels: 'car,dog'}}\n"
        f"  {rule}\n"
    )
    assert main(["annotate-new", "--rules", str(rules)]) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
