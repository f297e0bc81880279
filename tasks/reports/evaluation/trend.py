"""A chart of a share over weeks."""

from __future__ import annotations

from collections.abc import Mapping

from cvat_flows.tasks.reports.charts import AXIS, BAR, svg_image, svg_text

_WIDTH, _HEIGHT, _LEFT = 400, 100, 34
_MAX_WEEKS = 26


def trend_chart(shares: Mapping[str, float]) -> str:
    """Make an SVG of shares from 0 to 1 by the Monday of their week, the last half year."""
    weeks = list(shares.items())[-_MAX_WEEKS:]
    top, bottom = 28, 28 + _HEIGHT
    parts = [
        svg_text(0, 14, "Precision of what was uploaded, by week", weight=600),
        f'<path d="M{_LEFT} {top} v{_HEIGHT} h{_WIDTH}" stroke="{AXIS}" fill="none"/>',
        svg_text(_LEFT - 6, top + 4, "1", size=10, anchor="end"),
        svg_text(_LEFT - 6, bottom + 2, "0", size=10, anchor="end"),
    ]
    step = _WIDTH / max(len(weeks), 1)
    points = [
        (_LEFT + (n + 0.5) * step, bottom - _HEIGHT * share) for n, (_, share) in enumerate(weeks)
    ]
    if len(points) > 1:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{BAR}" stroke-width="2" fill="none"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{BAR}"/>' for x, y in points]
    if weeks:
        parts.append(svg_text(points[0][0], bottom + 14, weeks[0][0], size=10, anchor="middle"))
    if len(weeks) > 1:
        parts.append(svg_text(points[-1][0], bottom + 14, weeks[-1][0], size=10, anchor="middle"))
    return svg_image(_LEFT + _WIDTH, bottom + 20, parts)
