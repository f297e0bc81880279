"""What matching a function with a task comes to: plain values, looked up by the function's ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import field, frozen
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.matching.mapping import AttributeMapping
from cvat_flows.tasks.model.errors import CvatFlowsError

Status = Literal[
    "matched",  # the function's name goes to one of the task
    "dropped",  # the mapping drops it
    "ignored",  # not in the task, and allow_unmatched_labels is set
    "not produced",  # the task has it, the function does not
    "missing",  # not in the task
    "other type",
    "other values",
    "unknown in mapping",  # the mapping names something that the function does not have
]
MISMATCHES = frozenset({"missing", "other type", "other values", "unknown in mapping"})


@frozen(kw_only=True)
class MatchRow:
    """One label, sublabel or attribute of the function, of the task, or of both: a table row."""

    kind: Literal["label", "sublabel", "attribute"]
    function: str | None
    """Name in the function, with those above it: `cat > head > visible`."""
    function_type: str | None
    """Label type, or input type of an attribute."""
    task: str | None
    """Name in the task, with those above it; None if there is none."""
    task_type: str | None
    status: Status
    message: str = ""
    """What is wrong, as the SDK's driver would word it."""
    hint: str | None = None
    """The nearest name where the name was looked for."""


@frozen(kw_only=True)
class AttributeMatch:
    """Where an attribute of the function goes."""

    name: str
    """Name in the function."""
    id: int
    """Id in the task (`spec_id`)."""
    accepts: Callable[[Any], bool] = field(eq=False, repr=False)
    """Whether a value suits the attribute as the function declared it."""
    mapping: AttributeMapping | None = None
    """How values change; None if they do not."""

    def map_value(self, value: str) -> str | None:
        """The task's value; None if the mapping drops it."""
        return value if self.mapping is None else self.mapping.map_value(value)


@frozen(kw_only=True)
class LabelMatch:
    """Where a label or sublabel of the function goes."""

    name: str
    """Name in the function."""
    id: int
    """Id in the task."""
    task_name: str
    attributes: Mapping[int, AttributeMatch | None]
    """By the function's attribute id; None where values are to be dropped."""
    expected_type: str = "points"
    """The shape type (or `tag`) that the function has to return; `any` allows all."""
    sublabels: Mapping[int, LabelMatch | None] = field(factory=dict)
    """By the function's sublabel id; None where elements are to be dropped."""
    keypoints: tuple[int, ...] = ()
    """The task's ids of all sublabels: each has to be in a skeleton."""


@frozen(kw_only=True)
class SpecMatch:
    """The mapping from the function's labels, sublabels and attributes to the task's."""

    labels: Mapping[int, LabelMatch | None]
    """By the function's label id; None where annotations are to be dropped."""
    conv_mask_to_poly: bool = False
    """The function was told to return polygons in place of masks."""
    rows: tuple[MatchRow, ...] = field(default=(), eq=False, repr=False)


class SpecMismatch(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The function does not fit the task. The text names all that does not, one a line."""

    def __init__(self, mismatches: tuple[MatchRow, ...], rows: tuple[MatchRow, ...]) -> None:
        super().__init__(_sentences(mismatches))
        self.mismatches = mismatches
        """In the order in which the SDK's driver looks at them."""
        self.rows = rows
        """All that was compared."""

    def __reduce__(self) -> Any:
        return type(self), (self.mismatches, self.rows)


def _sentences(mismatches: tuple[MatchRow, ...]) -> str:
    lines = [
        row.message + (f" (did you mean {row.hint!r}?)" if row.hint else "") for row in mismatches
    ]
    found = {row.status for row in mismatches}
    advice = []
    if "missing" in found:
        advice.append(
            "add it to the task, map it to one of the task's names (label_mapping), or set"
            " allow_unmatched_labels to drop what the task does not have"
        )
    if "other type" in found or "other values" in found:
        advice.append("give it the same type and values in the task, or drop it (label_mapping)")
    if "unknown in mapping" in found:
        advice.append("correct the name in label_mapping")
    return "\n".join([*lines, "To do: " + "; ".join(advice) + "."])
