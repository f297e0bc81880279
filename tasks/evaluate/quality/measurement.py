"""What is kept of a review or an evaluation: how good a version of a function was, by label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import asdict, field, frozen

from cvat_flows.tasks.evaluate.counts import Counts, add_counts

Kind = Literal["review", "evaluation"]
FORMAT = 1
ALL = "*"
"""Stands for all labels together where a label is asked for."""


@frozen(kw_only=True)
class Version:
    """A version of a function with the options that decide what it annotates.

    The name does not identify it: a function whose file was moved is the same.
    """

    fingerprint: str
    options: str
    """The first digits of the digest of the options."""

    def __str__(self) -> str:
        return self.fingerprint[:8]


@frozen(kw_only=True)
class FrameCounts:
    """The counts of one frame of an evaluation, all labels together."""

    frame: int
    truth: str
    """Digest of the true objects on the frame."""
    counts: Counts


@frozen(kw_only=True)
class Measurement:
    """How good a version of a function was.

    Attributes:
        kind: `review`: what people left of its uploads. `evaluation`: compared with a truth.
        version: The version of the function.
        function: Name of the function.
        when: ISO 8601, UTC.
        about: What was measured, for people: a task, or some uploads.
        task: Folder of the task; "" for a review of many tasks.
        overall: The counts of all labels together.
        labels: The counts by label of the task.
        unknown: Deleted annotations whose label is not known. They belong to some label.
        frames: The counts by frame; only of an evaluation.
    """

    kind: Kind
    version: Version
    function: str
    when: str
    about: str
    overall: Counts
    labels: Mapping[str, Counts]
    task: str = ""
    unknown: int = 0
    frames: Sequence[FrameCounts] = field(default=(), repr=False)

    @property
    def date(self) -> str:
        """The day of the measurement."""
        return self.when[:10]

    def of(self, label: str) -> Counts:
        """Return the counts of a label, or of all labels. What is not known counts against it."""
        if label == ALL:
            return self.overall
        return add_counts([self.labels.get(label, Counts()), Counts(extra=self.unknown)])


def dump_measurements(measurements: Sequence[Measurement]) -> bytes:
    """Return the content of a file with measurements."""
    rows = [_to_row(one) for one in measurements]
    return json.dumps({"format": FORMAT, "measurements": rows}, ensure_ascii=False).encode()


def parse_measurements(content: bytes) -> list[Measurement]:
    """Read a file. Raises ValueError, KeyError or TypeError if it is damaged."""
    top = json.loads(content)
    if top["format"] != FORMAT:
        raise ValueError(f"format {top['format']!r} is not {FORMAT}: a newer version wrote it")
    return [_of_row(row) for row in top["measurements"]]


def _to_row(one: Measurement) -> dict[str, Any]:
    frames = one.frames
    columns = {
        "frame": [frame.frame for frame in frames],
        "truth": [frame.truth for frame in frames],
        **{
            name: [getattr(frame.counts, name) for frame in frames]
            for name in ("right", "extra", "missed")
        },
    }
    return {
        "kind": one.kind,
        "version": asdict(one.version),
        "function": one.function,
        "when": one.when,
        "about": one.about,
        "task": one.task,
        "overall": asdict(one.overall),
        "labels": {label: asdict(counts) for label, counts in one.labels.items()},
        "unknown": one.unknown,
        **({"frames": columns} if frames else {}),
    }


def _of_row(row: dict[str, Any]) -> Measurement:
    columns = row.pop("frames", {})
    names = ("frame", "truth", "right", "extra", "missed")
    return Measurement(
        **{
            **row,
            "version": Version(**row["version"]),
            "overall": Counts(**row["overall"]),
            "labels": {label: Counts(**counts) for label, counts in row["labels"].items()},
        },
        frames=tuple(
            FrameCounts(
                frame=frame,
                truth=truth,
                counts=Counts(right=right, extra=extra, missed=missed),
            )
            for frame, truth, right, extra, missed in zip(
                *(columns.get(name, ()) for name in names), strict=True
            )
        ),
    )
