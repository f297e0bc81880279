"""Several detection functions as one: weighted boxes fusion.

    cvat-cli task auto-annotate 12 --function-module aa_functions.ensemble \
        -p functions=str:yolov8n,cars.py -p weights=str:2,1

Each function sees each image. Boxes of one object are averaged, weighted by score
(`aa_functions.wrappers.fusion`). Of other shapes of one object the most confident stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import PIL.Image
from attrs import field, frozen
from cvat_sdk.auto_annotation import (
    DetectionAnnotation,
    DetectionFunctionContext,
    DetectionFunctionSpec,
)

from aa_functions.contexts import check_lengths
from aa_functions.errors import WrapperOptionError
from aa_functions.reference import LoadedFunction
from aa_functions.wrappers.combine import combine
from aa_functions.wrappers.found import Found, is_annotation
from aa_functions.wrappers.labels import Labels, common_labels
from aa_functions.wrappers.member import (
    call,
    check_number,
    declared_dependence,
    load_member,
    read_json,
    takes_batches,
)
from aa_functions.wrappers.relabel import relabelled

RESULTS_VERSION = 1
"""Part of the fingerprint. Increase it if a change here or in `wrappers` gives other results."""

_FIELDS = ("function", "parameters", "weight", "labels")


@frozen(kw_only=True)
class Member:
    """A function of an ensemble."""

    loaded: LoadedFunction
    weight: float = 1.0
    labels: Mapping[str, str] = field(factory=dict)
    """New names of its labels, by name."""


def create(
    functions: str | Sequence[Any],
    *,
    weights: str | Sequence[float] | None = None,
    threshold: float = 0.55,
    member_conf: float | None = None,
) -> EnsembleDetection:
    """Create a function that fuses what several functions find.

    Args:
        functions: A list, also as JSON, or a text of names with commas. Each is a name or an object
            as in `aa_functions.tiled`, or a mapping with `function` and, if wanted, `parameters`
            for its `create`, `weight` (1), and `labels`, which renames its labels:
            `{"function": "cars.py", "weight": 2, "labels": {"automobile": "car"}}`.
        weights: One for each function, above 0, as a list or as a text with commas.
        threshold: Intersection over union, between 0 and 1, above which two shapes are one object.
        member_conf: Minimum confidence that the functions are asked for. None: that of the run. The
            run's minimum also applies to the fused score, which is lower if not all functions have
            found an object. So 0.05 here keeps more of what several functions have seen.

    Returns:
        The function. Its labels are those of all functions, matched by name. The fused score is the
        sum of weight times best score over the functions that found the object, divided by the sum
        of the weights of the functions that know its label.

    Raises:
        FunctionReferenceError: if a function cannot be loaded.
        WrapperOptionError: if an option has an unusable value, or a function shares no label with
            the others.

    >>> inner = {"function": "shapes"}
    >>> tiled = {"function": "tiled", "parameters": inner}
    >>> both = create(["shapes", tiled], weights=[2, 1])
    >>> [label.name for label in both.spec.labels]
    ['circle', 'square', 'triangle', 'star']
    """
    check_number("threshold", threshold, lambda it: 0 < it < 1, "above 0 and below 1")
    if member_conf is not None:
        check_number("member_conf", member_conf, lambda it: 0 <= it <= 1, "from 0 to 1")
    members = [_member(entry, f"functions[{n}]") for n, entry in enumerate(_entries(functions))]
    if len(members) < 2:
        raise WrapperOptionError(
            f"The option functions names {len(members)}, but an ensemble needs at least 2."
        )
    if weights is not None:
        members = _with_weights(members, weights)
    return EnsembleDetection(members, threshold=threshold, member_conf=member_conf)


class EnsembleDetection:
    """The AA function. As many threads may use it as may use each of its functions."""

    def __init__(
        self, members: Sequence[Member], *, threshold: float, member_conf: float | None
    ) -> None:
        self._loaded = [member.loaded for member in members]
        self.wrapped_functions = tuple(self._loaded)
        self.title = "+".join(loaded.title for loaded in self._loaded)
        self.function_name = "aa_functions.ensemble:" + "+".join(one.name for one in self._loaded)
        self.results_depend_on = declared_dependence(self._loaded)
        self.needs_annotations = any(loaded.needs_annotations for loaded in self._loaded)
        batches = any(takes_batches(loaded) for loaded in self._loaded)
        self.detect_batch = self._detect_batch if batches else None
        self._members = members
        self._threshold = threshold
        self._member_conf = member_conf
        self._labels = common_labels(
            [
                Labels(
                    function=member.loaded.title,
                    spec=member.loaded.function.spec,
                    names=member.labels,
                )
                for member in members
            ]
        )
        self._known_weights = {
            label: sum(members[position].weight for position in set(positions))
            for label, positions in self._labels.users.items()
        }

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels of all functions, matched by name, with new ids."""
        return self._labels.spec

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Detect on one image with all functions.

        Args:
            context: Passed to the functions. Its `conf_threshold` (0 to 1) also applies to the
                fused score.
            image: Passed to the functions.

        Returns:
            Annotations in pixels of the image, by falling score.
        """
        return self._detect_batch([context], [image])[0]

    def _detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """Detect on several images.

        Args:
            contexts: One for each image.
            images: Passed to the functions.

        Returns:
            For each image what `detect` returns.
        """
        check_lengths(contexts, images)
        asked = [self._ask(context) for context in contexts]
        found: list[list[Found]] = [[] for _ in images]
        # Not annotations at all: the caller says what is wrong with them.
        strange: list[list[Any]] = [[] for _ in images]
        for position, loaded in enumerate(self._loaded):
            ids = self._labels.ids[position]
            for number, items in enumerate(call(loaded, asked, images)):
                for item in items:
                    if is_annotation(item):
                        renamed = relabelled(item, ids, function=loaded.title)
                        found[number].append(Found(item=renamed, source=position))
                    else:
                        strange[number].append(item)
        weights = [member.weight for member in self._members]
        return [
            combine(
                some,
                weights=weights,
                known_weights=self._known_weights,
                threshold=self._threshold,
                conf=context.conf_threshold,
            )
            + others
            for some, others, context in zip(found, strange, contexts, strict=True)
        ]

    def _ask(self, context: Any) -> Any:
        return context if self._member_conf is None else _Asked(context, self._member_conf)

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """Return what decides the results; see `aa_functions.fingerprint`."""
        return {
            "implementation": f"aa_functions.ensemble {RESULTS_VERSION}",
            "functions": [
                [one.loaded.fingerprint, one.weight, dict(one.labels)] for one in self._members
            ],
            "threshold": self._threshold,
            "member_conf": self._member_conf,
            "packages": ("cvat_sdk",),
        }


class _Asked:
    """A context with another minimum confidence."""

    def __init__(self, context: Any, conf_threshold: float) -> None:
        self._context = context
        self.conf_threshold = conf_threshold

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _entries(functions: str | Sequence[Any]) -> Iterable[Any]:
    if isinstance(functions, str) and not functions.lstrip().startswith(("[", "{")):
        return [name.strip() for name in functions.split(",") if name.strip()]
    entries: list[Any] = read_json(functions, "functions", Sequence)
    return entries


def _member(entry: Any, option: str) -> Member:
    if not isinstance(entry, Mapping):
        return Member(loaded=load_member(entry, None))
    for name in entry:
        if name not in _FIELDS:
            raise WrapperOptionError(
                f"The option {option} has the field {name!r}; it takes {', '.join(_FIELDS)}."
            )
    labels = entry.get("labels") or {}
    if not isinstance(labels, Mapping) or not all(isinstance(new, str) for new in labels.values()):
        raise WrapperOptionError(
            f"The labels in the option {option} must be a mapping of names to names."
        )
    return Member(
        loaded=load_member(entry.get("function"), entry.get("parameters")),
        weight=_weight(entry.get("weight", 1.0)),
        labels=dict(labels),
    )


def _with_weights(members: Sequence[Member], weights: str | Sequence[float]) -> list[Member]:
    values = weights.split(",") if isinstance(weights, str) else list(weights)
    if len(values) != len(members):
        raise WrapperOptionError(
            f"The option weights has {len(values)} numbers for {len(members)} functions: give one "
            "for each."
        )
    return [
        Member(loaded=member.loaded, weight=_weight(value), labels=member.labels)
        for member, value in zip(members, values, strict=True)
    ]


def _weight(value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise WrapperOptionError(f"A weight is {value!r}, but must be a number above 0.")
    return weight
