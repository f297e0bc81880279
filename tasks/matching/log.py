"""Collect what a comparison finds. Messages follow those of the SDK's driver."""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen

from cvat_flows.tasks.matching.mapping import AttributeMapping, LabelMapping, SublabelMapping
from cvat_flows.tasks.matching.names import ByName, describe_difference
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import MISMATCHES, Kind, MatchRow, Status


@frozen(kw_only=True)
class SpecItem:
    """A label, sublabel or attribute of the function's spec, as messages and rows name it."""

    kind: Kind
    text: str
    """As the SDK names it: `attribute 'age' of label 'car'`."""
    path: str
    """As rows name it: `car > age`."""

    def sublabel(self, name: str) -> SpecItem:
        text = f"sublabel {name!r} of {self.text}"
        return SpecItem(kind="sublabel", text=text, path=f"{self.path} > {name}")

    def attribute(self, name: str) -> SpecItem:
        text = f"attribute {name!r} of {self.text}"
        return SpecItem(kind="attribute", text=text, path=f"{self.path} > {name}")


@define(kw_only=True)
class MatchLog:
    """The rows and mismatches found so far."""

    allow_unmatched: bool
    rows: list[MatchRow] = field(factory=list)
    mismatches: list[MatchRow] = field(factory=list)

    def find_target(
        self,
        item: SpecItem,
        name: str,
        type_: str,
        entry: LabelMapping | SublabelMapping | AttributeMapping,
        known: ByName,
        nearest: NearestName,
    ) -> Any:
        """Return what a name maps to. If there is nothing, add a row that says why."""
        target = entry.target(name)
        if target is None:
            self.add(item, type_, "dropped")
            return None
        found = known.find(target)
        if found is not None:
            return found
        status: Status = "missing"
        text = f"{item.text} is not in the task"
        if entry.explicit:
            text += f" under the name {target!r} given by the mapping"
        elif self.allow_unmatched:
            status = "ignored"
            text += "; any annotations using it will be ignored"
        hint = known.look_alike(target) or nearest.find(target)
        difference = describe_difference(target, hint) if hint else ""
        self.add(item, type_, status, text, hint=hint, difference=difference)
        return None

    def add(
        self,
        item: SpecItem,
        type_: str | None,
        status: Status,
        message: str = "",
        *,
        task: str | None = None,
        task_type: str | None = None,
        hint: str | None = None,
        difference: str = "",
    ) -> None:
        """Add a row about an item of the function's spec."""
        row = MatchRow(
            kind=item.kind,
            function=item.path,
            function_type=type_,
            task=task,
            task_type=task_type,
            status=status,
            message=message,
            hint=hint,
            difference=difference,
        )
        self.rows.append(row)
        if status in MISMATCHES:
            self.mismatches.append(row)

    def add_not_produced(self, kind: Kind, path: str, type_: str) -> None:
        """Add a row about something that only the task has."""
        message = ""
        if kind == "sublabel":
            message = "every skeleton lacks it, so frames fail without --missing-keypoints outside"
        self.rows.append(
            MatchRow(
                kind=kind,
                function=None,
                function_type=None,
                task=path,
                task_type=type_,
                status="not produced",
                message=message,
            )
        )
