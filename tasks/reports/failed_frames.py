"""The table of a run's failed frames, in markdown."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import (
    counted,
    escape_markdown,
    link,
    on_one_line,
    shorten_name,
)
from cvat_flows.tasks.reports.pictures.thumbnails import data_uri
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.table import FrameRow

MAX_SHOWN = 100
"""Failed frames with a task run, a page and a row. The others are in the per-frame table: nobody
would read more, and they would fill Prefect's database."""
TABLE_BYTES = 280_000
"""Size limit of the table. Prefect stores it three times: as an artifact, as the latest artifact of
its key, and in an event."""
PAGES_BYTES = 750_000
"""Size limit of the pages of all frames of a run. With the copies of the table and the run's report
a run takes less than 2 MB, however many frames fail."""
MAX_UNGROUPED = 8
"""More failed frames than this are grouped by error."""
_MIN_SHOWN_PER_GROUP = 3
_WIDE_HEADING = "picture" + "\N{NO-BREAK SPACE}" * 24
"""Prefect's V2 UI makes pictures as narrow as the heading of their column."""
_MAX_GROUPS = 30
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@frozen(kw_only=True)
class FailedFrame:
    """What is kept of a failed frame besides its row in the report."""

    number: int
    thumbnail: bytes | None = field(default=None, repr=False)
    task_run_id: str | None = None


@define(kw_only=True, eq=False)
class FailedFrames:
    """The first failed frames of a run. Thread-safe."""

    _bytes_left: int = field(default=PAGES_BYTES, init=False)
    _frames: dict[int, FailedFrame] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def room(self) -> int:
        """How many more frames can be shown."""
        return max(0, MAX_SHOWN - len(self._frames))

    def add(self, frame: FailedFrame) -> None:
        """Add a frame, if there is room for it."""
        with self._lock:
            if frame.number in self._frames or len(self._frames) < MAX_SHOWN:
                self._frames[frame.number] = frame

    def reserve(self, size: int) -> bool:
        """Reserve space for a page of `size` bytes. Returns False if there is too little left."""
        with self._lock:
            fits = size <= self._bytes_left
            self._bytes_left -= size if fits else 0
        return fits

    def get(self, number: int) -> FailedFrame:
        return self._frames.get(number) or FailedFrame(number=number)

    def __contains__(self, number: int) -> bool:
        return number in self._frames

    def __len__(self) -> int:
        return len(self._frames)


def failed_markdown(report: RunReport, kept: FailedFrames, *, table_path: str = "") -> str:
    """Make the table of a run's failed frames, grouped by error if there are many.

    It has at most MAX_SHOWN rows and TABLE_BYTES bytes. Pictures that do not fit are left out.
    """
    rows = report.failed
    head = [
        f"## Failed frames of {escape_markdown(str(report.media), 120)}",
        escape_markdown(report.sentence, 800),
    ]
    if not rows:
        return "\n\n".join([*head, "No frame failed."])
    groups = _group_by_error(rows) if len(rows) > MAX_UNGROUPED else [rows]
    shown = _choose_shown(groups, kept)
    if len(groups) > 1:
        head.append(_overview(groups))
    hidden = len(rows) - len(shown)
    tail = []
    if hidden > 0:
        where = f"; the per-frame table contains all: `{table_path}`" if table_path else ""
        are = "is" if hidden == 1 else "are"
        tail = [f"**{counted(hidden, 'more failed frame')} {are} not shown{where}**"]

    def page(pictures: Mapping[int, str]) -> str:
        tables = [_table(group, shown, kept, report.media, pictures) for group in groups]
        if len(groups) > 1:
            tables = [
                f"{_heading(group, shown)}\n\n{rows}" if rows else ""
                for group, rows in zip(groups, tables, strict=True)
            ]
        return "\n\n".join([*head, *filter(None, tables), *tail])

    room = TABLE_BYTES - stored_size(page({}))
    pictures: dict[int, str] = {}
    for number in sorted(shown):
        thumbnail = kept.get(number).thumbnail
        picture = f"![frame {number}]({data_uri(thumbnail)})" if thumbnail else ""
        if thumbnail and len(picture) <= room:
            pictures[number] = picture
            room -= len(picture)
    return page(pictures)


def stored_size(text: str) -> int:
    """Return the bytes of a text in Prefect's database, which stores it as JSON in ASCII."""
    return len(json.dumps(text))


def _group_by_error(rows: Sequence[FrameRow]) -> list[list[FrameRow]]:
    """Group rows by error, ignoring numbers and file names. The largest group is first."""
    groups: dict[tuple[str, ...], list[FrameRow]] = {}
    for row in rows:
        text = _NUMBER.sub("0", _short_error(row).replace(shorten_name(row.name, 80), ""))
        text = text.replace(row.name, "")
        groups.setdefault((row.step or "", row.error_type, text[:120]), []).append(row)
    return sorted(groups.values(), key=lambda group: -len(group))


def _choose_shown(groups: Iterable[Sequence[FrameRow]], kept: FailedFrames) -> set[int]:
    """Choose the frames with a row: some of each group, then those with a picture."""
    groups = list(groups)
    shown = [row.frame for group in groups for row in group[:_MIN_SHOWN_PER_GROUP]]
    rest = [row.frame for group in groups for row in group[_MIN_SHOWN_PER_GROUP:]]
    rest.sort(key=lambda number: (number not in kept, number))
    return set([*shown, *rest][:MAX_SHOWN])


def _overview(groups: Sequence[Sequence[FrameRow]]) -> str:
    lines = ["| failed | step | error |", "|---|---|---|"]
    lines += [
        f"| {len(group):,} | {group[0].step} | {escape_markdown(_short_error(group[0]), 160)} |"
        for group in groups[:_MAX_GROUPS]
    ]
    if len(groups) > _MAX_GROUPS:
        lines += ["", f"and {counted(len(groups) - _MAX_GROUPS, 'more error')}"]
    return "\n".join(lines)


def _heading(group: Sequence[FrameRow], shown: Collection[int]) -> str:
    count = sum(row.frame in shown for row in group)
    error = escape_markdown(f"{group[0].step} · {group[0].error_type}", 60)
    note = f", {count} of them shown" if count < len(group) else ""
    return f"### {error}: {counted(len(group), 'frame')}{note}"


def _table(
    group: Sequence[FrameRow],
    shown: Collection[int],
    kept: FailedFrames,
    media: TaskMedia,
    pictures: Mapping[int, str],
) -> str:
    lines = [
        _line(row, kept.get(row.frame), media, pictures.get(row.frame, "no picture"))
        for row in group
        if row.frame in shown
    ]
    head = [f"| {_WIDE_HEADING} | frame | file | open | step | error |", "|---" * 6 + "|"]
    return "\n".join([*head, *lines]) if lines else ""


def _line(row: FrameRow, kept: FailedFrame, media: TaskMedia, picture: str) -> str:
    frame = media.frame(row.frame)
    links = link("CVAT", media.frame_url(frame))
    if kept.task_run_id:
        # A relative link works in both UIs, V1 and V2, at any address.
        links += f" {link('run', f'../../runs/task-run/{kept.task_run_id}')}"
    name = escape_markdown(shorten_name(row.name))
    return (
        f"| {picture} | {row.frame} | {name} | {links} | {row.step} "
        f"| {escape_markdown(_short_error(row), 200)} |"
    )


def _short_error(row: FrameRow) -> str:
    """Return the error without what the other columns contain."""
    text = on_one_line(row.error)
    prefixes = (f"frame {row.frame} · {shorten_name(row.name, 80)}: ", "the function failed on ")
    for prefix in prefixes:
        text = text.replace(prefix, "")
    return text
