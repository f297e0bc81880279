"""The result of matching a function with a task, as plain values keyed by the function's ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import field, frozen
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.matching.mapping import AttributeMapping
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.model.errors import CvatFlowsError

Kind = Literal["label", "sublabel", "attribute"]
Status = Literal[
    "matched",  # the function's name maps to one of the task
    "dropped",  # the mapping drops it
    "ignored",  # not in the task, and allow_unmatched_labels is set
    "not produced",  # only the task has it
    "missing",  # not in the task
    "different type",
    "different values",
    "unknown in mapping",  # the mapping lists a name that the function does not have
]
MISMATCHES = frozenset({"missing", "different type", "different values", "unknown in mapping"})


@frozen(kw_only=True)
class MatchRow:
    """One row of the match table: a label, sublabel or attribute of the function or the task."""

    kind: Kind
    function: str | None
    """Path of names in the function: `cat > head > visible`; None if only the task has it."""
    function_type: str | None
    """Label type, or input type of an attribute."""
    task: str | None
    """Path of names in the task; None if the task has no counterpart."""
    task_type: str | None
    status: Status
    message: str = ""
    """What is wrong, if anything."""
    hint: str | None = None
    """The most similar name among those that were possible."""
    difference: str = ""
    """What differs between the two names, if they look alike."""

    @property
    def question(self) -> str:
        """` (did you mean 'car'?)`, with what differs; empty without a hint."""
        if not self.hint:
            return ""
        difference = f" {self.difference}" if self.difference else ""
        return f" (did you mean {self.hint!r}?{difference})"

    @property
    def sdk_message(self) -> str:
        """The message as the SDK's driver words it, which calls the task a dataset."""
        text = self.message.replace("is not in the task", "is not in dataset")
        return text.replace("in the task", "in the dataset")


@frozen(kw_only=True)
class AttributeMatch:
    """What an attribute of the function maps to."""

    name: str
    """Name in the function."""
    id: int
    """Id in the task (`spec_id`)."""
    accepts: Callable[[Any], bool] = field(eq=False, repr=False)
    """Returns whether a value is valid for the attribute as the function declares it."""
    mapping: AttributeMapping | None = None
    """How values change; None if they do not."""

    def map_value(self, value: str) -> str | None:
        """Return the task's value; None if the mapping drops it."""
        return value if self.mapping is None else self.mapping.map_value(value)


@frozen(kw_only=True)
class LabelMatch:
    """What a label or sublabel of the function maps to."""

    name: str
    """Name in the function."""
    id: int
    """Id in the task."""
    task_name: str
    attributes: Mapping[int, AttributeMatch | None]
    """By the function's attribute id; None if the attribute is dropped."""
    expected_type: str = "points"
    """The shape type (or `tag`) that the function must return; `any` allows all."""
    sublabels: Mapping[int, LabelMatch | None] = field(factory=dict)
    """By the function's sublabel id; None if the sublabel is dropped."""
    keypoints: tuple[int, ...] = ()
    """The task's ids of all sublabels. A skeleton must have all of them."""
    canonical_name: str = field(init=False, repr=False, eq=False)

    @canonical_name.default
    def _canonical_name(self) -> str:
        return canonical(self.name)


@frozen(kw_only=True)
class SpecMatch:
    """The mapping from the function's labels, sublabels and attributes to the task's."""

    labels: Mapping[int, LabelMatch | None]
    """By the function's label id; None if the label is dropped."""
    conv_mask_to_poly: bool = False
    """The function was asked to return polygons instead of masks."""
    rows: tuple[MatchRow, ...] = field(default=(), eq=False, repr=False)


class SpecMismatch(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The function does not fit the task. The text has one line per mismatch, then advice."""

    def __init__(self, mismatches: tuple[MatchRow, ...], rows: tuple[MatchRow, ...]) -> None:
        super().__init__(_describe(mismatches))
        self.mismatches = mismatches
        """In the order in which the SDK's driver checks them."""
        self.rows = rows
        """Everything that was compared."""

    def in_sdk_words(self) -> str:
        """Return one line per mismatch, as the SDK's driver words it, with our hints."""
        return "\n".join(row.sdk_message + row.question for row in self.mismatches)

    def __reduce__(self) -> Any:
        return type(self), (self.mismatches, self.rows)


def _describe(mismatches: tuple[MatchRow, ...]) -> str:
    lines = [row.message + row.question for row in mismatches]
    found = {row.status for row in mismatches}
    advice = []
    if "missing" in found:
        advice.append(
            "add missing names to the task, map them with --label-mapping, or drop them with"
            " --allow-unmatched-labels"
        )
    if "different type" in found or "different values" in found:
        advice.append("use the same types and values in the task, or drop them by --label-mapping")
    if "unknown in mapping" in found:
        advice.append("correct the names in --label-mapping")
    return "\n".join([*lines, "To do: " + "; ".join(advice) + "."])
