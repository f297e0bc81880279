"""Gates and comparisons by kept figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from cvat_flows.tasks.evaluate.compare.objects import objects_of
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.differences import differences
from cvat_flows.tasks.evaluate.errors import DamagedFigures
from cvat_flows.tasks.evaluate.evaluation import Evaluation, compare, evaluate
from cvat_flows.tasks.evaluate.quality.better import improvement
from cvat_flows.tasks.evaluate.quality.gate import Gate, judge_gate
from cvat_flows.tasks.evaluate.quality.measure import measure_evaluation
from cvat_flows.tasks.evaluate.quality.measurement import (
    Kind,
    Measurement,
    Version,
    dump_measurements,
    parse_measurements,
)
from cvat_flows.tasks.evaluate.quality.store import (
    keep_evaluation,
    keep_review,
    last_evaluations,
    last_review,
    read_history,
)
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.storage import FolderStorage

V1, V2 = (Version(fingerprint=name * 32, options="o" * 16) for name in ("f1", "f2"))
HOST = "https://cvat.example"


def measured(
    car: Counts, *, kind: Kind = "evaluation", version: Version = V1, day: int = 1, unknown: int = 0
) -> Measurement:
    return Measurement(
        kind=kind,
        version=version,
        function="cars",
        when=f"2026-12-{day:02}T02:00:00+00:00",
        about="task 5",
        task="task-5/x" if kind == "evaluation" else "",
        overall=car,
        labels={"car": car},
        unknown=unknown,
    )


class TestGate:
    GATE = Gate(min_precision={"car": 0.9})

    @pytest.mark.parametrize(
        ("gate", "counts", "text"),
        [
            (GATE, Counts(right=45, extra=5), "is 0.900, wanted 0.900, on 50 detections"),
            (
                Gate(min_recall={"*": 0.5}),
                Counts(right=30, missed=20),
                "the recall of all labels is 0.600, wanted 0.500, on 50 true objects",
            ),
        ],
    )
    def test_passed(self, gate: Gate, counts: Counts, text: str) -> None:
        verdict = judge_gate(gate, [measured(counts)], how="")
        assert verdict
        assert text in str(verdict)

    @pytest.mark.parametrize(
        ("gate", "counts", "text"),
        [
            (
                GATE,
                Counts(right=44, extra=6),
                "the precision of 'car' is 0.880, wanted 0.900, on 50 detections "
                "(evaluation of 2026-12-01)",
            ),
            # What is too low is not rounded up.
            (GATE, Counts(right=8_999, extra=1_001), "is 0.899, wanted 0.900"),
            (
                GATE,
                Counts(right=49),
                "the precision of 'car' cannot be judged, wanted 0.900: it was measured on 49 "
                "detections, and min_objects is 50",
            ),
            (
                Gate(min_precision={"dog": 0.9}),
                Counts(right=49),
                "'dog' cannot be judged, wanted 0.900: it was measured on 0 detections",
            ),
            (
                Gate(min_precision={"car": 0.9}, min_recall={"car": 0.9}),
                Counts(right=60, extra=60, missed=60),
                "the precision of 'car' is 0.500, wanted 0.900, on 120 detections (evaluation of "
                "2026-12-01); the recall of 'car' is 0.500, wanted 0.900, on 120 true objects",
            ),
        ],
    )
    def test_failed(self, gate: Gate, counts: Counts, text: str) -> None:
        verdict = judge_gate(gate, [measured(counts)], how="")
        assert not verdict
        assert text in str(verdict)

    def test_what_was_never_measured_has_failed_and_says_what_to_run(self) -> None:
        verdict = judge_gate(self.GATE, [], how="run `x`")
        assert not verdict
        assert str(verdict) == "this version was never measured with these options: run `x`"
        by_review = evolve(self.GATE, measured_by="review")
        verdict = judge_gate(by_review, [measured(Counts(right=50))], how="run `x`")
        assert not verdict
        assert "never measured by a review" in str(verdict)

    def test_a_review_with_enough_objects_goes_first(self) -> None:
        bad_review = measured(Counts(right=25, extra=25), kind="review")
        good = measured(Counts(right=50))
        assert not judge_gate(self.GATE, [bad_review, good], how="")
        assert judge_gate(evolve(self.GATE, min_objects=51), [bad_review, good], how="") is not None
        small_review = measured(Counts(right=20, extra=20), kind="review")
        assert judge_gate(self.GATE, [small_review, good], how="")

    def test_evaluations_of_several_tasks_count_together(self) -> None:
        one = measured(Counts(right=30, extra=10))
        other = evolve(measured(Counts(right=10)), task="task-6/x")
        verdict = judge_gate(evolve(self.GATE, min_precision={"car": 0.8}), [one, other], how="")
        assert verdict
        assert "is 0.800, wanted 0.800, on 50 detections" in str(verdict)

    def test_deleted_annotations_of_unknown_labels_count_against_each_label(self) -> None:
        review = measured(Counts(right=50), kind="review", unknown=10)
        verdict = judge_gate(self.GATE, [review], how="")
        assert "is 0.833, wanted 0.900, on 60 uploaded annotations (review of" in str(verdict)


class TestStore:
    def test_what_is_kept_is_read(self, tmp_path: Path) -> None:
        storage = FolderStorage(tmp_path)
        for day in (1, 2):
            keep_evaluation(storage, measured(Counts(right=day), day=day))
        elsewhere = evolve(measured(Counts(right=5)), task="task-6/x")
        keep_evaluation(storage, elsewhere)
        keep_evaluation(storage, measured(Counts(right=9), version=V2))
        assert last_evaluations(storage, V1) == [measured(Counts(right=2), day=2), elsewhere]
        review = measured(Counts(right=3), kind="review")
        keep_review(storage, HOST, [review, measured(Counts(), kind="review", version=V2)])
        assert last_review(storage, HOST, V1) == [review]
        assert last_review(storage, "https://other.example", V1) == []
        assert len(read_history(storage)) == 6

    def test_a_review_replaces_one_of_the_same_day(self, tmp_path: Path) -> None:
        storage = FolderStorage(tmp_path)
        keep_review(storage, HOST, [measured(Counts(right=3), kind="review")])
        keep_review(storage, HOST, [measured(Counts(right=4), kind="review")])
        assert [one.overall.right for one in last_review(storage, HOST, V1)] == [4]

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        storage = FolderStorage(tmp_path)
        keep_evaluation(storage, measured(Counts(right=1)))
        (stored,) = storage.list("quality")
        storage.write(stored.path, b"{}")
        with pytest.raises(DamagedFigures, match=r"quality/evaluations/.*2026-12-01\.json"):
            last_evaluations(storage, V1)


FRAMES = range(40)
NAMES = {1: "car", 2: "dog"}


def box(frame: int, label: int = 1, left: int = 0) -> Annotation:
    points = (float(left), 0.0, left + 10.0, 10.0)
    return Annotation(type="rectangle", label_id=label, frame=frame, points=points)


TRUTH = [box(frame, label=1 + frame % 2) for frame in FRAMES]


def evaluated(wrong: set[int]) -> Evaluation:
    found = [box(frame, 1 + frame % 2, left=50 * (frame in wrong)) for frame in FRAMES]
    sizes = dict.fromkeys(FRAMES, (100, 100))
    return evaluate(compare(objects_of(found), objects_of(TRUTH), frames=FRAMES, sizes=sizes))


def kept(evaluation: Evaluation, version: Version, truth: list[Annotation]) -> Measurement:
    return measure_evaluation(
        evaluation,
        version=version,
        function="cars",
        about="task 5",
        task="task-5/x",
        truth=truth,
        names=NAMES,
    )


class TestImprovement:
    @pytest.mark.parametrize(
        ("old", "new", "verdict"),
        [
            (set(range(12)), set(), "better"),
            (set(), set(range(12)), "worse"),
            ({3, 4}, {5, 6}, "not certain"),
        ],
    )
    def test_it_says_what_compare_says(self, old: set[int], new: set[int], verdict: str) -> None:
        one, other = evaluated(old), evaluated(new)
        result = improvement([kept(one, V1, TRUTH)], [kept(other, V2, TRUTH)])
        assert result.f1 == differences(one, other)[None]["f1"]
        assert result.f1.verdict == verdict
        assert result.is_better == (verdict == "better")
        assert result.frames == 40

    def test_frames_with_another_truth_do_not_count(self) -> None:
        one, other = evaluated({1}), evaluated({2})
        changed = [*TRUTH, *(box(frame, left=30) for frame in range(35))]
        result = improvement([kept(one, V1, TRUTH)], [kept(other, V2, changed)])
        assert result.frames == 5
        assert not result.is_better
        assert str(result).endswith("with the same truth on 5 frames, and 10 are needed")

    def test_other_tasks_do_not_count(self) -> None:
        other = evolve(kept(evaluated(set()), V2, TRUTH), task="task-6/x")
        assert improvement([kept(evaluated({1}), V1, TRUTH)], [other]).frames == 0


def test_a_file_holds_everything() -> None:
    both = [kept(evaluated({1, 2}), V1, TRUTH), measured(Counts(right=1), kind="review")]
    assert parse_measurements(dump_measurements(both)) == both
