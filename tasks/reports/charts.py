"""Charts as small SVG images that are readable on light and dark pages.

They have a dark background, like code blocks in Prefect's UI: no grey has enough contrast on both
light and dark pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cvat_flows.tasks.model.text import escape_xml, on_one_line
from cvat_flows.tasks.reports.pictures.thumbnails import data_uri

BACKGROUND = "#1f2937"
TEXT = "#d1d5db"
BAR = "#60a5fa"
AXIS = "#6b7280"
_MARGIN = 12
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def bar_chart(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Make an SVG with a horizontal bar for each row of (name, value, value as text)."""
    width, name_width, text_width, line = 460, 150, 90, 22
    most = max((value for _, value, _ in rows), default=0) or 1
    room = width - name_width - text_width
    parts = [svg_text(0, 14, title, weight=600)]
    for n, (name, value, text) in enumerate(rows):
        y = 26 + n * line
        length = max(1.0, room * value / most)
        parts += [
            svg_text(name_width - 8, y + 13, on_one_line(name, 22), anchor="end"),
            f'<rect x="{name_width}" y="{y}" width="{length:.1f}" height="16" rx="2" '
            f'fill="{BAR}"/>',
            svg_text(name_width + length + 6, y + 13, text),
        ]
    return svg_image(width, 30 + len(rows) * line, parts)


def histograms(title: str, series: Mapping[str, Sequence[int]]) -> str:
    """Make an SVG with a small histogram for each name, each with its own scale.

    `series` are counts by name, in equal bins of values from 0 to 1.
    """
    columns, cell_width, cell_height, bar_height = 4, 142, 92, 50
    parts = [svg_text(0, 14, title, weight=600)]
    for n, (name, counts) in enumerate(series.items()):
        x = (n % columns) * cell_width
        y = 24 + (n // columns) * cell_height
        most = max(counts, default=0) or 1
        bar = (cell_width - 16) / max(len(counts), 1)
        parts.append(svg_text(x, y + 12, f"{on_one_line(name, 14)} · {sum(counts):,}"))
        for part, count in enumerate(counts):
            height = bar_height * count / most
            if count:
                parts.append(
                    f'<rect x="{x + part * bar:.1f}" y="{y + 18 + bar_height - height:.1f}" '
                    f'width="{bar - 1:.1f}" height="{max(height, 1):.1f}" fill="{BAR}"/>'
                )
        base = y + 18 + bar_height
        parts += [
            f'<path d="M{x} {base + 0.5} h{cell_width - 16}" stroke="{AXIS}"/>',
            svg_text(x, base + 13, "0", size=10),
            svg_text(x + cell_width - 16, base + 13, "1", size=10, anchor="end"),
        ]
    height = 28 + -(-len(series) // columns) * cell_height
    return svg_image(columns * cell_width, height, parts)


def chart_uri(svg: str) -> str:
    """Return the chart as a `data:` address."""
    return data_uri(svg.encode(), "image/svg+xml")


def svg_text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: int = 400,
    anchor: str = "start",
    colour: str = TEXT,
) -> str:
    """Return a line of text that begins, or ends, at a point."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape_xml(text)}</text>'
    )


def svg_image(width: int, height: int, parts: Sequence[str]) -> str:
    """Return the parts as an image with a margin and a background."""
    width, height = width + 2 * _MARGIN, height + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {width} {height}" {_FONT}>'
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="{width}" height="{height}" rx="6" '
        f'fill="{BACKGROUND}"/>{"".join(parts)}</svg>'
    )
