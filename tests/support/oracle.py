"""What a CVAT job must contain, from what a function returned and what people did.

It knows nothing of requests, digests and manifests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.frames import Outcome

Facts = tuple[Any, ...]
"""Everything that a person sees of an annotation."""
Defaults = Mapping[int, Mapping[int, str]]
"""By label and attribute, the value of an attribute that was not sent."""


def facts_of_item(item: Mapping[str, Any], defaults: Defaults) -> Facts:
    """Return the facts of a tag or shape as CVAT returns it."""
    return _facts(
        kind=item.get("type", TAG),
        label=item["label_id"],
        frame=item["frame"],
        source=item["source"],
        attributes={a["spec_id"]: a["value"] for a in item["attributes"]},
        geometry=(*item.get("points", ()), item.get("rotation", 0)),
        flags=(bool(item.get("occluded")), bool(item.get("outside")), item.get("z_order", 0)),
        elements=[facts_of_item(element, defaults) for element in item.get("elements", ())],
        defaults=defaults,
    )


def facts_of_annotation(annotation: Annotation, defaults: Defaults) -> Facts:
    """Return the facts of an annotation that a function returned."""
    return _facts(
        kind=annotation.type,
        label=annotation.label_id,
        frame=annotation.frame,
        source=annotation.source,
        attributes=dict(annotation.attributes),
        geometry=(*annotation.points, annotation.rotation),
        flags=(annotation.occluded, annotation.outside, annotation.z_order),
        elements=[facts_of_annotation(element, defaults) for element in annotation.elements],
        defaults=defaults,
    )


def _facts(
    *,
    kind: str,
    label: int,
    frame: int,
    source: str,
    attributes: Mapping[int, str],
    geometry: Iterable[float],
    flags: tuple[Any, ...],
    elements: list[Facts],
    defaults: Defaults,
) -> Facts:
    whole = {**defaults.get(label, {}), **attributes}
    numbers = tuple(round(float(number), 3) for number in geometry)
    return (
        kind, label, frame, source, tuple(sorted(whole.items())), numbers, flags,
        tuple(sorted(elements, key=repr)),
    )  # fmt: skip


@define(kw_only=True)
class Oracle:
    """What one job must contain."""

    defaults: Defaults = field(factory=dict)
    expected: Counter[Facts] = field(factory=Counter)
    unknown: Counter[Facts] = field(factory=Counter)
    """What may be there as often as this, or not at all: see `touched_completely`."""

    def there(self, content: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """The job contains this before anything is annotated."""
        self.expected += self._count(content)

    def annotated(self, outcomes: Iterable[Outcome]) -> None:
        """A function returned this. What is there already counts."""
        self.expected |= Counter(
            facts_of_annotation(annotation, self.defaults)
            for outcome in outcomes
            for annotation in outcome.annotations or ()
        )

    def removed(self, item: Mapping[str, Any]) -> None:
        """A person removed an object."""
        facts = facts_of_item(item, self.defaults)
        assert self.expected[facts] > 0
        self.expected[facts] -= 1

    def changed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """A person changed an object."""
        self.removed(before)
        self.drawn(after)

    def drawn(self, item: Mapping[str, Any]) -> None:
        """A person drew an object."""
        self.expected[facts_of_item(item, self.defaults)] += 1

    def touched_completely(self, items: Iterable[Mapping[str, Any]]) -> None:
        """People removed or changed all of an unanswered request; this is what it created.

        Nobody can know then whether it was carried out. It may be sent again, as documented.
        """
        self.unknown |= Counter(facts_of_item(item, self.defaults) for item in items)

    def problems(self, content: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[str]:
        """Say how the content of the job differs from what it must be."""
        found = self._count(content)
        extra = found - self.expected - self.unknown
        missing = self.expected - found
        return [f"extra: {facts}" for facts in extra.elements()] + [
            f"missing: {facts}" for facts in missing.elements()
        ]

    def _count(self, content: Mapping[str, Iterable[Mapping[str, Any]]]) -> Counter[Facts]:
        return Counter(
            facts_of_item(item, self.defaults)
            for kind in ("tags", "shapes")
            for item in content[kind]
        )
