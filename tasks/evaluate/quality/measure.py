"""Make measurements of a review and of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from cvat_flows.tasks.evaluate.acceptance.review import UNKNOWN, ReviewRow
from cvat_flows.tasks.evaluate.acceptance.tally import Tally, tally
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.evaluation import Evaluation
from cvat_flows.tasks.evaluate.intervals import count_by_frame
from cvat_flows.tasks.evaluate.quality.measurement import FrameCounts, Measurement, Version
from cvat_flows.tasks.model.annotations import Annotation


def measure_review(rows: Sequence[ReviewRow], *, about: str) -> list[Measurement]:
    """Return a measurement of each version whose uploads were reviewed.

    Frames that several versions annotated are left out.
    """
    by_version: dict[tuple[str, str, str], list[ReviewRow]] = {}
    for row in rows:
        if row.fingerprint:
            key = row.function, row.fingerprint, row.options
            by_version.setdefault(key, []).append(row)
    when = _now()
    found = []
    for (function, fingerprint, options), own in sorted(by_version.items()):
        labels = tally(own, lambda row: row.label, arrives=lambda row: row.new_label)
        found.append(
            Measurement(
                kind="review",
                version=Version(fingerprint=fingerprint, options=options),
                function=function,
                when=when,
                about=about,
                overall=_counts(tally(own, lambda row: "")[""]),
                labels={name: _counts(one) for name, one in labels.items() if name != UNKNOWN},
                unknown=labels[UNKNOWN].uploaded if UNKNOWN in labels else 0,
            )
        )
    return found


def _counts(one: Tally) -> Counts:
    return Counts(
        right=one.right,
        extra=one.uploaded - one.right,
        missed=one.arrived + one.counts["added"],
    )


def measure_evaluation(
    evaluation: Evaluation,
    *,
    version: Version,
    function: str,
    about: str,
    task: str,
    truth: Iterable[Annotation],
    names: Mapping[int, str],
) -> Measurement:
    """Return the measurement of a version that was evaluated.

    Args:
        evaluation: The figures.
        version: The version of the function.
        function: Name of the function.
        about: The task, for people.
        task: Folder of the task.
        truth: The true annotations.
        names: Names of the task's labels.
    """
    return Measurement(
        kind="evaluation",
        version=version,
        function=function,
        when=_now(),
        about=about,
        task=task,
        overall=evaluation.overall.counts,
        labels={names[label]: one.counts for label, one in evaluation.by_label.items()},
        frames=_frames(evaluation, truth, names),
    )


def _frames(
    evaluation: Evaluation, truth: Iterable[Annotation], names: Mapping[int, str]
) -> tuple[FrameCounts, ...]:
    one = evaluation.comparison
    digests = _truth_digests(truth, names)
    columns = count_by_frame(
        one.found, one.true, one.pairing, one.used, one.frames, sorted(evaluation.by_label)
    )
    right, extra, missed = (column.sum(axis=1).astype(int).tolist() for column in columns)
    return tuple(
        FrameCounts(
            frame=frame,
            truth=digests.get(frame, ""),
            counts=Counts(right=right[n], extra=extra[n], missed=missed[n]),
        )
        for n, frame in enumerate(one.frames.tolist())
    )


def _truth_digests(truth: Iterable[Annotation], names: Mapping[int, str]) -> dict[int, str]:
    """Return a digest of the true objects of each frame that has some."""
    by_frame: dict[int, list[str]] = {}
    for one in truth:
        by_frame.setdefault(one.frame, []).append(json.dumps(_facts(one, names)))
    return {
        frame: blake2b("\n".join(sorted(facts)).encode(), digest_size=6).hexdigest()
        for frame, facts in by_frame.items()
    }


def _facts(one: Annotation, names: Mapping[int, str]) -> list[Any]:
    return [
        names.get(one.label_id, one.label_id),
        one.type,
        [round(value, 2) for value in one.points],
        round(one.rotation, 2),
        bool(one.outside),
        sorted((_facts(part, names) for part in one.elements), key=repr),
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
