"""The per-frame table, as pandas, Parquet and CSV. docs/reports.md documents its columns.

pandas is imported only where it is needed: that takes longer than a short run. Parquet files are
written without it.
"""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isnan, nan
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from aa_functions.errors import storable
from cvat_flows.tasks.check.remap import BELOW_THRESHOLD, UNMATCHED
from cvat_flows.tasks.check.validate import DROPPED
from cvat_flows.tasks.model.frames import Outcome, Step

if TYPE_CHECKING:
    import pandas as pd

State = Literal["annotated", "failed", "skipped"]

MAX_ERROR_LENGTH = 500
"""Characters of an error that a row keeps."""
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
    "withheld",
    "unmatched",
    "dropped",
    "below_threshold",
)
_BLOCK_SIZE = 2**20
"""Bytes of JSON that are converted at a time. The longest row must fit."""
_NO_COUNTS: Mapping[str, int] = {}
"""Shared by the rows of frames without any, to save memory."""
_TEXTS = ("name", "outcome", "step", "error", "error_type", "skipped", "labels")
_UNTRUSTED = ("name", "error", "error_type", "skipped", "labels")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet reads text that starts like this as a formula."""


@frozen(kw_only=True)
class FrameRow:
    """One frame in the per-frame table."""

    frame: int
    name: str
    job: int
    """Id of the first annotation job that contains the frame; 0 if none does."""
    outcome: State
    step: Step | None = None
    """The step that failed."""
    error: str = ""
    error_type: str = ""
    skipped: str = ""
    """Why the frame was not annotated."""
    labels: tuple[str, ...] = ()
    """Labels of the annotations that the function found and the options did not filter out."""
    scores: array[float] = field(factory=lambda: array("d"), eq=False)
    """Scores of the same annotations; NaN if the function gave no score."""
    seconds: float = 0.0
    """Wall time of detection, as the frame's share of its batch."""
    cached: bool = False
    created: int = 0
    """Annotations that were created in CVAT (in a dry run: that would be)."""
    kept: int = 0
    """Annotations that were already there."""
    deleted: int = 0
    withheld: int = 0
    """Annotations that were not created because people changed or deleted them."""
    counts: Mapping[str, int] = field(default=_NO_COUNTS, eq=False)
    """What the mapping, the thresholds and the geometry policy did: see `Outcome.counts`."""

    @property
    def shapes(self) -> int:
        """Number of annotations, shapes and tags."""
        return len(self.labels)


def frame_row(outcome: Outcome, label_names: Mapping[int, str]) -> FrameRow:
    """Make the row of an outcome. `label_names` are the task's label names by id."""
    state: State = "failed" if outcome.failure else "skipped" if outcome.skipped else "annotated"
    annotations = outcome.annotations or ()
    return FrameRow(
        frame=outcome.frame.number,
        name=storable(outcome.frame.name),
        job=outcome.frame.job_ids[0] if outcome.frame.job_ids else 0,
        outcome=state,
        step=outcome.failure.step if outcome.failure else None,
        error=outcome.failure.error[:MAX_ERROR_LENGTH] if outcome.failure else "",
        error_type=outcome.failure.error_type if outcome.failure else "",
        skipped=outcome.skipped or "",
        # The strings are shared with `label_names`, so each takes eight bytes only.
        labels=tuple(label_names[annotation.label_id] for annotation in annotations),
        scores=array("d", (nan if a.score is None else a.score for a in annotations)),
        seconds=outcome.seconds,
        cached=outcome.cached,
        counts=outcome.counts or _NO_COUNTS,
    )


def make_table(rows: Iterable[FrameRow]) -> pd.DataFrame:
    """Make a table with a line for each row, in the given order."""
    import pandas as pd

    return pd.DataFrame([_cells(row) for row in rows], columns=list(COLUMNS))


def to_parquet(rows: Iterable[FrameRow]) -> bytes:
    """Encode the rows. `scores` is a list of numbers, with null where there is no score."""
    import pyarrow as pa
    from pyarrow import json as arrow_json
    from pyarrow import parquet

    schema = pa.schema([(name, _arrow_type(name)) for name in COLUMNS])
    # As lines of JSON, because making Arrow arrays of Python's values imports pandas.
    lines = [json.dumps(dict(zip(COLUMNS, _cells(row), strict=True))) for row in rows]
    if not lines:
        table = schema.empty_table()
    else:
        table = arrow_json.read_json(
            io.BytesIO("\n".join(lines).encode()),
            arrow_json.ReadOptions(block_size=max(_BLOCK_SIZE, *map(len, lines))),
            arrow_json.ParseOptions(explicit_schema=schema),
        )
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


def _arrow_type(column: str) -> Any:
    import pyarrow as pa

    if column == "scores":
        return pa.list_(pa.float64())
    if column in _TEXTS:
        return pa.string()
    if column in ("lowest_score", "seconds"):
        return pa.float64()
    return pa.bool_() if column == "cached" else pa.int64()


def to_csv(rows: Iterable[FrameRow]) -> bytes:
    """Encode the rows as UTF-8 text. `scores` are separated by spaces.

    Untrusted text that a spreadsheet would read as a formula gets a leading apostrophe.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = dict(zip(COLUMNS, _cells(row), strict=True))
        scores = ("" if isnan(score) else f"{score:.4f}" for score in row.scores)
        cells["scores"] = " ".join(scores).strip()
        for column in _UNTRUSTED:
            text = cells[column]
            if isinstance(text, str) and text.startswith(_FORMULA_STARTS):
                cells[column] = f"'{text}"
        writer.writerow(cells.values())
    return file.getvalue().encode("utf-8", "replace")


def _cells(row: FrameRow) -> tuple[object, ...]:
    scores = [None if isnan(score) else round(score, 6) for score in row.scores]
    known = [score for score in scores if score is not None]
    return (
        row.frame,
        row.name,
        row.job,
        row.outcome,
        row.step,
        row.error,
        row.error_type,
        row.skipped,
        row.shapes,
        json.dumps(Counter(row.labels), ensure_ascii=False),
        scores,
        min(known, default=None),
        round(row.seconds, 6),
        row.cached,
        row.created,
        row.kept,
        row.deleted,
        row.withheld,
        row.counts.get(UNMATCHED, 0),
        row.counts.get(DROPPED, 0),
        row.counts.get(BELOW_THRESHOLD, 0),
    )
