"""Check that the truth and the function speak of the same labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from cvat_flows.tasks.evaluate.errors import LabelsDiffer
from cvat_flows.tasks.evaluate.truth.truth import TrueObject
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.text import counted, on_one_line

_MAX_NAMES = 5


def label_ids_of(match: SpecMatch) -> frozenset[int]:
    """Return the task's ids of the labels that the function detects."""
    return frozenset(label.id for label in match.labels.values() if label is not None)


def keep_known_labels(
    objects: Sequence[TrueObject],
    known: Collection[int],
    names: Mapping[int, str],
    *,
    allow_others: bool,
) -> tuple[list[TrueObject], str]:
    """Return the objects whose labels the function has, and a note about the others.

    Raises LabelsDiffer if there are others, unless they are allowed.
    """
    kept = [one for one in objects if one.annotation.label_id in known]
    if len(kept) == len(objects):
        return kept, ""
    others = Counter(
        names.get(one.annotation.label_id, f"label {one.annotation.label_id}")
        for one in objects
        if one.annotation.label_id not in known
    )
    found = ", ".join(
        f"{on_one_line(name, 60)!r} ({counted(count, 'object')})"
        for name, count in others.most_common(_MAX_NAMES)
    )
    if len(others) > _MAX_NAMES:
        found += f" and {counted(len(others) - _MAX_NAMES, 'more label')}"
    if not allow_others:
        raise LabelsDiffer(
            f"the truth has labels that the function does not detect: {found}; map a label of the "
            "function to them with --label-mapping, or leave them out with "
            "--allow-unmatched-labels"
        )
    return kept, f"labels that the function does not detect were left out: {found}"
