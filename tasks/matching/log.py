"""What a comparison has found so far, worded as the SDK's driver words it."""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field, frozen

from cvat_flows.tasks.matching.mapping import AttributeMapping, LabelMapping, SublabelMapping
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.matching.result import MISMATCHES, MatchRow, Status


@frozen(kw_only=True)
class Place:
    """A name in the function's spec: where it is, for messages and rows."""

    kind: Literal["label", "sublabel", "attribute"]
    text: str
    """As the SDK words it: `attribute 'age' of label 'car'`."""
    path: str

    def sublabel(self, name: str) -> Place:
        text = f"sublabel {name!r} of {self.text}"
        return Place(kind="sublabel", text=text, path=f"{self.path} > {name}")

    def attribute(self, name: str) -> Place:
        text = f"attribute {name!r} of {self.text}"
        return Place(kind="attribute", text=text, path=f"{self.path} > {name}")


@define(kw_only=True)
class Notes:
    """What has been found so far."""

    allow_unmatched: bool
    rows: list[MatchRow] = field(factory=list)
    mismatches: list[MatchRow] = field(factory=list)

    def look_up(
        self,
        place: Place,
        name: str,
        type_: str,
        entry: LabelMapping | SublabelMapping | AttributeMapping,
        by_name: dict[str, Any],
        nearest: NearestName,
    ) -> Any:
        """Find what a name goes to; None, and a row that says why, if it goes nowhere."""
        target = entry.target(name)
        if target is None:
            self.add(place, type_, "dropped")
            return None
        found = by_name.get(target)
        if found is not None:
            return found
        if self.allow_unmatched and not entry.explicit:
            text = f"{place.text} is not in dataset; any annotations using it will be ignored"
            self.add(place, type_, "ignored", text, hint=nearest.to(target))
            return None
        text = f"{place.text} is not in dataset"
        if entry.explicit:
            text += f" under the name {target!r} that the mapping gives it"
        self.add(place, type_, "missing", text, hint=nearest.to(target))
        return None

    def add(
        self,
        place: Place,
        type_: str | None,
        status: Status,
        message: str = "",
        *,
        task: str | None = None,
        task_type: str | None = None,
        hint: str | None = None,
    ) -> None:
        row = MatchRow(
            kind=place.kind,
            function=place.path,
            function_type=type_,
            task=task,
            task_type=task_type,
            status=status,
            message=message,
            hint=hint,
        )
        self.rows.append(row)
        if status in MISMATCHES:
            self.mismatches.append(row)

    def not_produced(
        self, kind: Literal["label", "sublabel", "attribute"], path: str, type_: str
    ) -> None:
        message = ""
        if kind == "sublabel":
            message = (
                "every skeleton will lack it: that fails the frame unless missing_keypoints is"
                " 'outside'"
            )
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
