"""Tables for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_csv(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Encode rows as UTF-8 text.

    Text that a spreadsheet would read as a formula gets a leading apostrophe.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heading)
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
    return file.getvalue().encode("utf-8", "replace")


def _safe(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return f"{cell:.6g}" if isinstance(cell, float) else cell
