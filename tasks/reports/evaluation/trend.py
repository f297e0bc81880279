"""Charts of shares over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cvat_flows.tasks.reports.charts import AXIS, BAR, svg_image, svg_text

_WIDTH, _HEIGHT, _LEFT = 400, 100, 34
_TOP = 28
_MAX_WEEKS = 26
_MAX_DAYS = 180
_DATE_WIDTH = 60
_COLOURS = (BAR, "#f59e0b", "#34d399", "#f472b6", "#a78bfa", "#f87171")
_LEGEND_COLUMNS, _LEGEND_WIDTH, _LEGEND_LINE = 3, 144, 16


def trend_chart(shares: Mapping[str, float]) -> str:
    """Make an SVG of shares from 0 to 1 by the Monday of their week, the last half year."""
    weeks = list(shares.items())[-_MAX_WEEKS:]
    return _chart(
        "Precision of what was uploaded, by week",
        [week for week, _ in weeks],
        {"": [share for _, share in weeks]},
    )


def lines_chart(dates: Sequence[str], lines: Mapping[str, Sequence[float | None]]) -> str:
    """Make an SVG of the precision from 0 to 1 by day, with a line for each label.

    Args:
        dates: The days, the oldest first. Of more than half a year the oldest are left out.
        lines: The values by label, one for each day; None where it is undefined.
    """
    return _chart(
        "Precision by day of measurement",
        dates[-_MAX_DAYS:],
        {label: values[-_MAX_DAYS:] for label, values in lines.items()},
    )


def _chart(title: str, dates: Sequence[str], lines: Mapping[str, Sequence[float | None]]) -> str:
    bottom = _TOP + _HEIGHT
    parts = [
        svg_text(0, 14, title, weight=600),
        f'<path d="M{_LEFT} {_TOP} v{_HEIGHT} h{_WIDTH}" stroke="{AXIS}" fill="none"/>',
        svg_text(_LEFT - 6, _TOP + 4, "1", size=10, anchor="end"),
        svg_text(_LEFT - 6, bottom + 2, "0", size=10, anchor="end"),
    ]
    step = _WIDTH / max(len(dates), 1)
    places = [_LEFT + (n + 0.5) * step for n in range(len(dates))]
    # The first line is drawn last, above the others.
    for values, colour in reversed(list(zip(lines.values(), _COLOURS, strict=False))):
        parts += _line(places, values, colour)
    parts += [_date(places[n], dates[n]) for n in sorted({0, len(dates) - 1}) if dates]
    height = bottom + 20
    names = [name for name in lines if name]
    for n, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        x = (n % _LEGEND_COLUMNS) * _LEGEND_WIDTH
        y = height + (n // _LEGEND_COLUMNS + 1) * _LEGEND_LINE - 4
        parts += [
            f'<circle cx="{x + 4}" cy="{y - 4}" r="4" fill="{colour}"/>',
            svg_text(x + 13, y, name if len(name) < 22 else f"{name[:20]}…"),
        ]
    return svg_image(
        _LEFT + _WIDTH, height + -(-len(names) // _LEGEND_COLUMNS) * _LEGEND_LINE, parts
    )


def _date(x: float, date: str) -> str:
    """Return a date below the chart, inside of it."""
    right = _LEFT + _WIDTH
    if x > right - _DATE_WIDTH / 2:
        return svg_text(right, _TOP + _HEIGHT + 14, date, size=10, anchor="end")
    return svg_text(
        max(x, _LEFT + _DATE_WIDTH / 2), _TOP + _HEIGHT + 14, date, size=10, anchor="middle"
    )


def _line(places: Sequence[float], values: Sequence[float | None], colour: str) -> list[str]:
    """Return a line through the values that are defined."""
    points = [
        (x, _TOP + _HEIGHT * (1 - value))
        for x, value in zip(places, values, strict=True)
        if value is not None
    ]
    parts = []
    if len(points) > 1:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="2" fill="none"/>')
    radius = 3 if len(places) <= 40 else 1.5
    return [
        *parts,
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>' for x, y in points),
    ]
