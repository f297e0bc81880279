"""The per-frame table as pandas, Parquet and CSV. docs/reports.md documents the columns."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from math import isnan

import pandas as pd

from cvat_flows.tasks.reports.row import FrameRow

COLUMNS = (
    "frame",
    "name",
    "job",
    "outcome",
    "step",
    "error",
    "error_type",
    "skipped",
    "shapes",
    "labels",
    "scores",
    "lowest_score",
    "seconds",
    "cached",
    "created",
    "kept",
    "deleted",
)
_FROM_OUTSIDE = ("name", "error", "error_type", "skipped", "labels")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def table_of(rows: Iterable[FrameRow]) -> pd.DataFrame:
    """One row a frame, in the order given."""
    return pd.DataFrame([_cells(row) for row in rows], columns=list(COLUMNS))


def to_parquet(table: pd.DataFrame) -> bytes:
    """The table as it is; `scores` is a list of numbers, null where there was no score."""
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


def to_csv(table: pd.DataFrame) -> bytes:
    """The table as UTF-8 text, `scores` separated by spaces.

    Text from outside that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    flat = table.copy()
    flat["scores"] = [
        " ".join("" if score is None else f"{score:.4f}" for score in scores).strip()
        for scores in table["scores"]
    ]
    for column in _FROM_OUTSIDE:
        flat[column] = [
            f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text
            for text in table[column]
        ]
    return flat.to_csv(index=False).encode("utf-8", "replace")


def _cells(row: FrameRow) -> tuple[object, ...]:
    scores = [None if isnan(score) else round(score, 6) for score in row.scores]
    known = [score for score in scores if score is not None]
    return (
        row.frame,
        _storable(row.name),
        row.job,
        row.outcome,
        row.step,
        _storable(row.error),
        _storable(row.error_type),
        _storable(row.skipped),
        row.shapes,
        json.dumps(Counter(row.labels), ensure_ascii=False),
        scores,
        min(known, default=None),
        round(row.seconds, 6),
        row.cached,
        row.created,
        row.kept,
        row.deleted,
    )


def _storable(text: str) -> str:
    """Without what UTF-8 cannot hold (lone surrogates)."""
    return text.encode("utf-8", "replace").decode()
