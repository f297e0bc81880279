from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pydantic import ValidationError

from cvat_flows.flows.sweep.find import Verdict, judge
from cvat_flows.flows.sweep.listing import FilterError, task_filter
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import RulesError, SweepRule
from cvat_flows.flows.sweep.rules_file import read_rules
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.manifest_summary import Summary
from tests.support.identity import task_number


def summary(frames: int = 10, skipped: int = 0, done: Any = None, **states: int) -> Summary:
    return Summary(
        task=task_number(1),
        function="f",
        frames=frames,
        skipped=skipped,
        run=RunStamp(id="r"),
        when="now",
        task_updated=task_number(1).created,
        done=done or {},
        states=states,
    )


def aside(frames: int, version: str = "f1 o1", **rest: Any) -> Summary:
    return evolve(summary(**rest), set_aside={version: frames})


@pytest.mark.parametrize(
    ("found", "again_when", "why"),
    [
        (None, [], "never annotated"),
        (summary(done={"f1 o1.labels": 10}), ["failed", "frames", "function"], None),
        (summary(done={"f1 o1.other labels": 10}), ["failed", "frames", "function"], None),
        (summary(skipped=3, done={"f1 o1": 7}), [], None),
        (summary(skipped=10), ["failed"], None),
        (summary(done={"f1 o1": 4}), [], "6 frames left"),
        (summary(done={"f1 o1": 9}, failed=1), [], None),
        (summary(done={"f1 o1": 9}, failed=1), ["failed"], "1 failed frame"),
        (summary(done={"f1 o1": 8}, failed=1), [], "1 frame left"),
        (summary(done={"f1 o1": 8}, undone=2), ["failed", "frames"], None),
        (summary(frames=8, done={"f1 o1": 8}), ["frames"], "10 frames, before: 8"),
        (summary(frames=8, done={"f1 o1": 8}), [], None),
        (aside(2, done={"f1 o1": 7}, failed=3), ["failed"], "1 failed frame"),
        (aside(2, "f0 o1", done={"f1 o1": 8}, failed=2), ["failed"], "2 failed frames"),
        (aside(2, "f1 o0", done={"f1 o1": 8}, failed=2), ["failed"], "2 failed frames"),
        (aside(2, done={"f1 o1": 7}, failed=2), [], "1 frame left"),
        (summary(done={"f0 o1": 10}), ["failed", "frames"], None),
        (
            summary(done={"f0 o1": 10}),
            ["function"],
            "10 frames done with another version or other options",
        ),
        (
            summary(done={"f1 o0": 6, "f1 o1": 4}),
            ["function"],
            "6 frames done with another version or other options",
        ),
    ],
)
def test_why_a_task_is_new(found: Summary | None, again_when: list[str], why: Any) -> None:
    verdict = judge(found, frames=10, fingerprint="f1", options="o1", again_when=again_when)
    assert (verdict.state, verdict.reason) == (("new", why) if why else ("done", ""))


@pytest.mark.parametrize("again_when", [[], ["failed", "frames", "function"]])
def test_a_task_with_nothing_but_frames_that_always_fail_is_set_aside(
    again_when: list[str],
) -> None:
    found = aside(2, "f1 o1.labels", done={"f1 o1.labels": 8}, failed=2)
    verdict = judge(found, frames=10, fingerprint="f1", options="o1", again_when=again_when)
    assert verdict.state == "set aside"
    assert verdict.reason.startswith("2 frames failed 3 times in the same way; ")


@pytest.mark.parametrize(
    ("found", "better", "verdict"),
    [
        (
            summary(done={"f0 o1": 6, "f1 o0": 4}),
            True,
            Verdict(
                state="new",
                reason="10 frames done with another version or other options: why",
                renew=True,
            ),
        ),
        (summary(done={"f0 o1": 6, "f1 o0": 4}), False, Verdict(state="done", reason="why")),
        # Frames that are left are annotated, the others stay as they are.
        (
            summary(done={"f0 o1": 4, "f1 o0": 4}),
            False,
            Verdict(state="new", reason="2 frames left"),
        ),
    ],
)
def test_other_versions_are_annotated_again_only_with_a_better_one(
    found: Summary, better: bool, verdict: Verdict
) -> None:
    asked = []

    def is_better(versions: Collection[str]) -> tuple[bool, str]:
        asked.append(sorted(versions))
        return better, "why"

    options = {"again_when": ["better"], "is_better": is_better}
    assert judge(found, frames=10, fingerprint="f1", options="o1", **options) == verdict  # type: ignore[arg-type]
    assert asked == [["f0 o1", "f1 o0"]]
    done = summary(done={"f1 o1": 10})
    assert judge(done, frames=10, fingerprint="f1", options="o1", **options).state == "done"  # type: ignore[arg-type]
    assert len(asked) == 1


def test_conditions_become_a_cvat_filter() -> None:
    rule = SweepRule(
        projects=["cars", "7"],
        subsets=["Train"],
        statuses=["annotation", "validation"],
        filter='{"==": [{"var": "owner"}, "ann"]}',
    )
    name, number = {"var": "project_name"}, {"var": "project_id"}
    assert task_filter(rule) == {
        "and": [
            {"or": [{"==": [name, "cars"]}, {"==": [name, "7"]}, {"==": [number, 7]}]},
            {"==": [{"var": "subset"}, "Train"]},
            {
                "or": [
                    {"==": [{"var": "status"}, "annotation"]},
                    {"==": [{"var": "status"}, "validation"]},
                ]
            },
            {"==": [{"var": "owner"}, "ann"]},
        ]
    }
    assert task_filter(SweepRule()) is None
    assert task_filter(SweepRule(), only=[2, 1]) == {"in": [{"var": "id"}, [1, 2]]}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"x"'])
def test_a_wrong_filter_is_named(text: str) -> None:
    with pytest.raises(FilterError, match="rule lanes: its filter is not JSON"):
        task_filter(SweepRule(name="lanes", filter=text))


def test_a_rule_makes_the_parameters_of_a_task() -> None:
    rule = SweepRule(
        function="mine.py",
        function_parameters={"size": 3},
        options={"conf_threshold": 0.4, "max_failed_frames": 0},
    )
    parameters = rule.for_task(12, server="other")
    assert (parameters.task_id, parameters.server, parameters.conf_threshold) == (12, "other", 0.4)
    assert (parameters.function, parameters.function_parameters) == ("mine.py", {"size": 3})
    assert parameters.only_unannotated
    assert not SweepRule(only_unannotated=False).for_task(1).only_unannotated
    assert not parameters.renew
    assert SweepRule(again_when=["function"]).for_task(1).renew
    better = SweepRule(again_when=["better"])
    assert not better.for_task(1).renew
    assert better.for_task(1, renew=True).renew
    assert better.for_task(1, renew=True).result_digest() == better.for_task(1).result_digest()


@pytest.mark.parametrize(
    "options", [{"conf_treshold": 0.4}, {"conf_threshold": 2}, {"task_id": 3}, {"server": "x"}]
)
def test_a_wrong_option_is_refused_when_the_rule_is_created(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        SweepRule(options=options)


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "rules:\n"
        "- name: cars\n"
        "  projects: [cars, 12]\n"
        "  function: aa_functions.shapes\n"
        "  options: {conf_threshold: 0.3}\n"
        "- projects: lanes\n".replace("projects: lanes", "projects: [lanes]")
    )
    first, second = read_rules(path)
    assert (first.projects, first.function, str(second)) == (
        ["cars", "12"],
        "aa_functions.shapes",
        "lanes",
    )
    given = AnnotateNewTasksParameters(rules=[SweepRule(name="mine")], rules_file=str(path))
    assert [str(rule) for rule in given.all_rules()] == ["mine", "cars", "lanes"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("rules:\n- {projects: [a], projects: [b]}", "'projects' is given twice, again on line 2"),
        ("", "has no list 'rules'$"),
        ("rules: 3", "has no list 'rules'$"),
        ("rule: [{projects: [cars]}]", r"it has 'rule' \(did you mean 'rules'\?\)"),
        (
            "- projekts: [cars]",
            r"rule 1 of .*: unknown key 'projekts' \(did you mean 'projects'\?\)",
        ),
        ("- {projects: 5}", "projects 5 should be a valid list"),
        ("- cars", "must be a mapping such as .*, not 'cars'"),
        ("- {name: cars, order: random}", r"rule 1 \(cars\) of .*: order 'random' should be "),
        ("- {options: {frames_per_run: 0}}", "options.frames_per_run 0 should be greater"),
        (
            "- {options: {frames_per_rum: 1}}",
            r"option 'frames_per_rum' \(did you mean 'frames_per_run",
        ),
        (
            "- {conf_threshold: 0.4}",
            "'conf_threshold' belongs under options: {conf_threshold: 0.4}",
        ),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(content)
    with pytest.raises(RulesError, match=message):
        read_rules(path)


def test_missing_rules_are_an_error() -> None:
    with pytest.raises(RulesError, match="no rules select CVAT tasks"):
        AnnotateNewTasksParameters().all_rules()
    with pytest.raises(RulesError, match="cannot be read"):
        AnnotateNewTasksParameters(rules_file="/no/such/file").all_rules()


def test_the_form_of_the_ui_has_help_for_every_field() -> None:
    for model in (SweepRule, AnnotateNewTasksParameters):
        fields = json.loads(json.dumps(model.model_json_schema()))["properties"]
        assert all(field.get("description") for field in fields.values())
