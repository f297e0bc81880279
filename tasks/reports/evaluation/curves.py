"""A chart of precision and recall over thresholds, for some labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cvat_flows.tasks.evaluate.thresholds import Curve
from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.reports.charts import AXIS, svg_image, svg_text

PRECISION, RECALL = "#60a5fa", "#f59e0b"
_COLUMNS, _WIDTH, _HEIGHT = 3, 186, 126
_PLOT = (156, 84)
_POINTS = 60


def curves_chart(curves: Mapping[str, Curve], thresholds: Mapping[str, float | None]) -> str:
    """Make an SVG with a small chart for each label; a dashed line is the suggested threshold."""
    parts = [
        svg_text(0, 14, "Precision", colour=PRECISION, weight=600),
        svg_text(66, 14, "and", weight=600),
        svg_text(94, 14, "recall", colour=RECALL, weight=600),
        svg_text(136, 14, "over thresholds of the score", weight=600),
    ]
    for n, (name, curve) in enumerate(curves.items()):
        x, y = (n % _COLUMNS) * _WIDTH, 28 + (n // _COLUMNS) * _HEIGHT
        parts += _small_chart(x, y, name, curve, thresholds.get(name))
    rows = -(-len(curves) // _COLUMNS)
    return svg_image(_COLUMNS * _WIDTH, 30 + rows * _HEIGHT, parts)


def _small_chart(x: int, y: int, name: str, curve: Curve, chosen: float | None) -> Sequence[str]:
    width, height = _PLOT
    top, bottom = y + 18, y + 18 + height
    parts = [
        svg_text(x, y + 12, on_one_line(name, 22)),
        f'<path d="M{x} {top} v{height} h{width}" stroke="{AXIS}" fill="none"/>',
        svg_text(x, bottom + 13, "0", size=10),
        svg_text(x + width, bottom + 13, "1", size=10, anchor="end"),
    ]
    for values, colour in ((curve.precision, PRECISION), (curve.recall, RECALL)):
        places = np.unique(np.linspace(0, len(values) - 1, _POINTS).astype(int))
        line = " ".join(
            f"{x + width * float(curve.threshold[n]):.1f},{bottom - height * float(values[n]):.1f}"
            for n in places.tolist()
            if len(values) and not np.isnan(values[n])
        )
        if line:
            parts.append(f'<polyline points="{line}" stroke="{colour}" fill="none"/>')
    if chosen is not None:
        at = x + width * chosen
        parts.append(
            f'<path d="M{at:.1f} {top} v{height}" stroke="{AXIS}" stroke-dasharray="3 3"/>'
        )
    return parts
