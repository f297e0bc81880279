"""Compare detections with the truth: everything that an evaluation says, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import field, frozen

from cvat_flows.tasks.evaluate.compare.likeness import LEAST, ImageSizes, Pairs, find_pairs
from cvat_flows.tasks.evaluate.compare.objects import MARK, Bools, Ints, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE, Pairing, pair_others, pair_up
from cvat_flows.tasks.evaluate.counts import Counts, add_counts
from cvat_flows.tasks.evaluate.figures import (
    Figures,
    average_precisions,
    count_by_label,
    count_by_size,
    mean_defined,
)
from cvat_flows.tasks.evaluate.intervals import bootstrap

DEFAULT_LIKENESS = 0.5
"""How alike a detection and a true object must be to belong together, as for AP50."""


@frozen(kw_only=True, eq=False)
class Comparison:
    """Detections and true objects of some frames, and which belong together.

    Attributes:
        found: The detections, sorted by frame.
        true: The true objects, sorted by frame.
        used: Which detections have a score above the threshold of their label.
        frames: Numbers of the compared frames, sorted, also of those without objects.
        pairs: Who is like whom, at least a little.
        pairing: Which of the used detections found which true object.
        others: Which of the rest found an object of another label.
    """

    found: Objects
    true: Objects
    used: Bools
    frames: Ints
    pairs: Pairs = field(repr=False)
    pairing: Pairing = field(repr=False)
    others: Pairing = field(repr=False)


@frozen(kw_only=True, eq=False)
class Evaluation:
    """How good the detections are.

    Attributes:
        comparison: What was compared.
        overall: Of all labels. Its average precisions are means over the labels with true objects.
        by_label: By label id.
        by_size: Counts by COCO's sizes; without tags, which have none.
        confusion: Counts by true label and detected label. None: nothing is there, or was found.
        mean_likeness: Of the detections that are right; None if there are none.
    """

    comparison: Comparison
    overall: Figures
    by_label: Mapping[int, Figures]
    by_size: Mapping[str, Counts]
    confusion: Mapping[tuple[int | None, int | None], int]
    mean_likeness: float | None


def compare(
    found: Objects,
    true: Objects,
    *,
    frames: Sequence[int],
    sizes: ImageSizes,
    used: Bools | None = None,
    least: float = DEFAULT_LIKENESS,
) -> Comparison:
    """Find out which detections and true objects belong together.

    Args:
        found: The detections.
        true: The true objects.
        frames: Numbers of the frames that both are about.
        sizes: Width and height of the images by frame number.
        used: Which detections have a score above the threshold of their label. By default all.
        least: How alike two objects must be to belong together.
    """
    if used is None:
        used = np.ones(len(found), bool)
    pairs = find_pairs(found, true, sizes)
    of_used = pairs.select(used[pairs.found])
    pairing = pair_up(found, true, of_used, least)
    return Comparison(
        found=found,
        true=true,
        used=used,
        frames=np.array(sorted(frames), np.int64),
        pairs=pairs,
        pairing=pairing,
        others=pair_others(found, true, of_used, pairing, max(least, LEAST)),
    )


def evaluate(comparison: Comparison) -> Evaluation:
    """Compute the figures of a comparison."""
    found, true, used = comparison.found, comparison.true, comparison.used
    pairing = comparison.pairing
    counts = count_by_label(found, true, pairing, used)
    aps = average_precisions(found, true, comparison.pairs)
    intervals = bootstrap(
        found,
        true,
        pairing=pairing,
        used=used,
        all_pairing=pair_up(found, true, comparison.pairs, DEFAULT_LIKENESS),
        frames=comparison.frames,
    )
    by_label = {
        label: Figures(
            counts=counts[label],
            ap50=aps[label][0],
            ap50_95=aps[label][1],
            intervals=intervals.get(label, {}),
        )
        for label in counts
    }
    overall = Figures(
        counts=add_counts(counts.values()),
        ap50=mean_defined([one.ap50 for one in by_label.values()]),
        ap50_95=mean_defined([one.ap50_95 for one in by_label.values()]),
        intervals=intervals.get(None, {}),
    )
    right = pairing.likeness[pairing.true_of != NONE]
    return Evaluation(
        comparison=comparison,
        overall=overall,
        by_label=by_label,
        by_size=_by_size(comparison),
        confusion=_confusion(comparison),
        mean_likeness=float(right.mean()) if len(right) else None,
    )


def _by_size(comparison: Comparison) -> dict[str, Counts]:
    found, true, pairing = comparison.found, comparison.true, comparison.pairing
    if (found.kind == MARK).all() and (true.kind == MARK).all():
        return {}
    return count_by_size(found, true, pairing, comparison.used & (found.kind != MARK))


def _confusion(comparison: Comparison) -> dict[tuple[int | None, int | None], int]:
    found, true = comparison.found, comparison.true
    right, other = comparison.pairing, comparison.others
    cells: Counter[tuple[int | None, int | None]] = Counter()
    for pairing in (right, other):
        one = np.flatnonzero(pairing.true_of != NONE)
        labels = zip(
            true.label[pairing.true_of[one]].tolist(), found.label[one].tolist(), strict=True
        )
        cells.update(labels)
    extra = comparison.used & (right.true_of == NONE) & (other.true_of == NONE)
    missed = (right.found_of == NONE) & (other.found_of == NONE)
    cells.update((None, label) for label in found.label[extra].tolist())
    cells.update((label, None) for label in true.label[missed].tolist())
    return dict(cells)
