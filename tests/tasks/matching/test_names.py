"""Names that look the same: what matches, and what a message says about names that do not."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from cvat_flows.tasks.check.remap import RemapOptions, check_thresholds, remap_frame
from cvat_flows.tasks.matching.mapping import MappingError, load_mapping
from cvat_flows.tasks.matching.match import compare_spec, match_spec
from cvat_flows.tasks.matching.names import describe_difference
from cvat_flows.tasks.matching.result import SpecMismatch
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.model.labels import Attribute, Label

COMPOSED = unicodedata.normalize("NFC", "Fußgänger")
DECOMPOSED = unicodedata.normalize("NFD", "Fußgänger")
assert COMPOSED != DECOMPOSED


def label(name: str, id: int = 1, **rest: Any) -> Label:
    return Label(id=id, name=name, **rest)


def skeleton(name: str, keypoint: str, attribute: str, id: int = 1) -> Label:
    return Label(
        id=id,
        name=name,
        type="skeleton",
        sublabels=(label(keypoint, id=id + 1, type="points"),),
        attributes=(Attribute(id=id + 2, name=attribute, input_type="text"),),
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        (f" {COMPOSED}\t", DECOMPOSED),
        ("car ", "car"),
    ],
)
def test_names_match_whatever_their_composition_and_spaces_at_the_ends(
    ours: str, theirs: str
) -> None:
    match = match_spec([skeleton(ours, ours, ours)], [skeleton(theirs, theirs, theirs, id=70)])
    found = match.labels[1]
    assert found
    assert (found.id, found.sublabels[2].id, found.attributes[3].id) == (70, 71, 72)  # type: ignore[union-attr]
    # A mapping and thresholds name the function's labels in either form.
    mapping = load_mapping({unicodedata.normalize("NFC", ours): "other"})
    assert match_spec([label(ours)], [label("other", id=9)], mapping=mapping).labels[1].id == 9  # type: ignore[union-attr]
    for name in (ours, theirs):
        check_thresholds({name: 0.5}, [label(ours)])
        detection = Detection(type="tag", label_id=1, score=0.4)
        frame = Frame(number=0, name="x", width=9, height=9, chunk=0, job_ids=(1,))
        outcome = Outcome(frame=frame, detections=(detection,))
        options = RemapOptions(label_thresholds={name: 0.5})
        only = match_spec([label(ours)], [label(theirs, id=70)])
        assert remap_frame(outcome, only, options).annotations == ()


@pytest.mark.parametrize(
    ("mapping", "where"),
    [
        ("{car: a, 'car ': b}", "mapping"),
        (f"{{{COMPOSED}: a, {DECOMPOSED}: b}}", "mapping"),
        ("{car: {attributes: {kind: a, ' kind': b}}}", "car > attributes"),
        ("{car: {sublabels: {eye: a, 'eye ': b}}}", "car > sublabels"),
    ],
)
def test_a_mapping_has_one_entry_for_a_name(mapping: str, where: str) -> None:
    with pytest.raises(MappingError, match=f"not valid: {where}: .* are the same name"):
        load_mapping(mapping)


def test_two_labels_that_look_the_same_are_matched_exactly() -> None:
    task = [label(COMPOSED, id=8), label(DECOMPOSED, id=9)]
    match = match_spec([label(COMPOSED), label(DECOMPOSED, id=2)], task)
    assert [found and found.id for found in match.labels.values()] == [8, 9]


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        ("car", "Car", "only upper and lower case differ"),
        ("traffic light", "traffic_light", "only spaces, hyphens or underscores differ"),
        ("ﬁre", "fire", "they look alike, but consist of different Unicode characters"),
        ("traffic\u00a0light", "traffic light", "they look alike, but consist of"),
        ("cra", "car", ""),
    ],
)
def test_the_message_says_what_differs(ours: str, theirs: str, difference: str) -> None:
    with pytest.raises(SpecMismatch) as caught:
        match_spec([label(ours)], [label(theirs)])
    first = str(caught.value).splitlines()[0]
    assert f"(did you mean {theirs!r}?{difference and f' {difference}'}" in first
    comparison = compare_spec([label(ours)], [label(theirs)], allow_unmatched_labels=True)
    assert comparison.rows[0].difference.startswith(difference)


def test_a_task_with_both_forms_and_a_third() -> None:
    """Then the name is ambiguous, and it is the composition that differs."""
    third = "ế"
    forms = [unicodedata.normalize("NFC", third), unicodedata.normalize("NFD", third)]
    mixed = "ê\N{COMBINING ACUTE ACCENT}"
    comparison = compare_spec([label(mixed)], [label(name, id=n) for n, name in enumerate(forms)])
    assert comparison.mismatches
    assert "composition" in comparison.rows[0].difference
    assert describe_difference("car", "bus") == ""
