"""Which frames may need corrections, if no truth is known: from detections alone.

Each measure counts objects of a frame that a person should look at:

- unsure: detections with a score close to their threshold;
- gone: objects that the frames before and after have at the same place, and this frame does not;
- rare: detections of a label that hardly any frame has;
- unusual number: far more or fewer detections than the frames around have;
- disputed: objects that only one of two functions detects.
"""

from __future__ import annotations

import numpy as np
from attrs import evolve

from cvat_flows.tasks.evaluate.compare.likeness import find_pairs
from cvat_flows.tasks.evaluate.compare.objects import BOX, POSE, Bools, Floats, Ints, Objects
from cvat_flows.tasks.evaluate.corrections import RankedFrame

CLOSE = 0.1
"""Distance of a score from its threshold that counts as unsure."""
SAME_PLACE = 0.5
"""Likeness of objects in neighbouring frames that are taken for the same."""
RARE_SHARE = 0.01
"""Share of the frames with a label, below which it is rare."""
_MIN_FRAMES = 20
"""With fewer frames nothing is rare or unusual."""
_WINDOW = 25
"""Frames before and after that say what number of detections is usual."""
_SPREADS = 4.0
"""Distance from the usual number, in typical deviations, that is unusual."""
_WEIGHTS = {"unsure": 0.5, "gone": 1.0, "rare": 0.5, "unusual number": 0.5, "disputed": 1.0}
"""Expected corrections for each object that a measure counts."""


def rank_by_doubt(
    found: Objects, used: Bools, limits: Floats, frames: Ints, disputed: Ints | None = None
) -> list[RankedFrame]:
    """Return the frames that may need corrections, the most doubtful first.

    Args:
        found: All detections, sorted by frame.
        used: Which have a score above the threshold of their label.
        limits: The threshold for each detection.
        frames: Numbers of all frames, sorted.
        disputed: For each frame how many objects only one of two functions detects.
    """
    unsure = (np.abs(found.score - limits) <= CLOSE) & (found.score < 1)
    shown = found.select(used)
    measures = {
        "unsure": _per_frame(frames, found.frame[unsure]),
        "gone": _gone(shown, frames),
        "rare": _rare(shown, frames),
        "unusual number": _unusual(shown, frames),
        "disputed": np.zeros(len(frames), np.int64) if disputed is None else disputed,
    }
    total = sum(_WEIGHTS[name] * count for name, count in measures.items())
    assert isinstance(total, np.ndarray)
    ranked = []
    for place in np.argsort(-total, kind="stable").tolist():
        if not total[place]:
            break
        reasons = [
            name if name == "unusual number" else f"{count[place]} {name}"
            for name, count in measures.items()
            if count[place]
        ]
        ranked.append(
            RankedFrame(
                frame=int(frames[place]),
                corrections=float(total[place]),
                reasons=tuple(reasons),
            )
        )
    return ranked


def _per_frame(frames: Ints, numbers: Ints) -> Ints:
    counts: Ints = np.bincount(np.searchsorted(frames, numbers), minlength=len(frames))
    return counts


def _gone(shown: Objects, frames: Ints) -> Ints:
    """Count objects that both neighbours of a frame have at the same place, but not the frame."""
    boxes = evolve(shown, kind=np.full(len(shown), BOX)).select(shown.kind < POSE)
    before, after = (evolve(boxes, frame=boxes.frame + shift) for shift in (1, -1))
    around = find_pairs(before, after, {})
    same = (around.likeness >= SAME_PLACE) & (
        before.label[around.found] == after.label[around.true]
    )
    wanted = np.unique(around.found[same])
    here = find_pairs(before, boxes, {})
    seen = here.likeness >= SAME_PLACE / 2
    missing = np.setdiff1d(wanted, here.found[seen])
    numbers = before.frame[missing]
    return _per_frame(frames, numbers[np.isin(numbers, frames)])


def _rare(shown: Objects, frames: Ints) -> Ints:
    if len(frames) < _MIN_FRAMES:
        return np.zeros(len(frames), np.int64)
    numbers = []
    for label in np.unique(shown.label).tolist():
        of_label = shown.frame[shown.label == label]
        if len(np.unique(of_label)) < max(2, RARE_SHARE * len(frames)):
            numbers.append(of_label)
    return _per_frame(frames, np.concatenate([np.zeros(0, np.int64), *numbers]))


def _unusual(shown: Objects, frames: Ints) -> Ints:
    """Return by how much the number of detections differs from the usual; 0 if it is usual."""
    counts = _per_frame(frames, shown.frame)
    if len(frames) < _MIN_FRAMES:
        return np.zeros(len(frames), np.int64)
    padded = np.pad(counts, _WINDOW, mode="reflect" if len(counts) > _WINDOW else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _WINDOW + 1)
    usual = np.median(windows, axis=1)
    spread = np.maximum(np.median(np.abs(windows - usual[:, None]), axis=1) * 1.5, 1.0)
    away = np.abs(counts - usual)
    unusual: Ints = np.where(away > _SPREADS * spread, away, 0).astype(np.int64)
    return unusual
