"""The failed frames of a run: the table of a run, and the page of a single frame, in markdown."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import (
    code_block,
    escape_markdown,
    link,
    on_one_line,
    shorten_name,
    table,
)
from cvat_flows.tasks.reports.row import FrameRow
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.thumbnails import data_uri

MOST_SHOWN = 100
"""Failed frames that get a task run, a page and a row of their own; of the others the per-frame
table tells. More would be read by nobody and fill Prefect's database."""
THUMBNAIL = {"longest": 112, "most_bytes": 1_700}
"""Pixels and bytes of a picture in the table."""
PICTURE = {"longest": 320, "most_bytes": 4_500}
"""Of the picture on a frame's own page."""
TABLE_BYTES = 280_000
"""Of the table, as Prefect stores it. It stores it three times: the artifact, the latest one of
its key, and an event that tells of it."""
PAGES_BYTES = 750_000
"""Of the pages of all frames of a run. With the table's copies and the run's report that makes less
than 2 MB for a run, however many frames fail."""
SEVERAL = 8
"""More failed frames than this are grouped by error."""
_AT_LEAST = 3
"""Frames of a group that are shown, however many other groups there are."""
_WIDE = "picture" + "\N{NO-BREAK SPACE}" * 24
"""Prefect's V2 makes pictures as narrow as the heading of their column."""
_MOST_GROUPS = 30
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@frozen(kw_only=True)
class FailedFrame:
    """What is kept of a failed frame, beside its row in the report."""

    number: int
    thumbnail: bytes | None = field(default=None, repr=False)
    task_run_id: str | None = None


@define(kw_only=True, eq=False)
class FailedFrames:
    """The first failed frames of a run, with their pictures."""

    most: int = MOST_SHOWN
    _bytes_left: int = field(default=PAGES_BYTES, init=False)
    _frames: dict[int, FailedFrame] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def room(self) -> int:
        """How many more frames may be shown."""
        return max(0, self.most - len(self._frames))

    def add(self, frame: FailedFrame) -> None:
        with self._lock:
            if frame.number in self._frames or len(self._frames) < self.most:
                self._frames[frame.number] = frame

    def take(self, size: int) -> bool:
        """Whether a page of `size` stored bytes may still be written; takes them if so."""
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


@frozen(kw_only=True)
class Reproduction:
    """What is needed to run a failed frame again, elsewhere."""

    function: str
    """The reference with its parameters, as a person would name it."""
    fingerprint: str | None
    command: Callable[[Frame], str]
    """A command line that runs this frame alone and writes nothing."""


def frame_markdown(
    outcome: Outcome,
    failure: Failure,
    media: TaskMedia,
    reproduction: Reproduction,
    *,
    picture: bytes | None,
    brief: bool = False,
) -> str:
    """The page of one failed frame: its picture, where it is, all of the error, how to repeat it.

    Of bounded length: about 10 KB, most of it the picture; `brief` leaves out the traceback.
    """
    frame = outcome.frame
    facts = [
        ("error", escape_markdown(failure.error, 600)),
        ("step", f"{failure.step} ({escape_markdown(failure.error_type, 80)})"),
        (
            "CVAT task",
            f"{link('open', media.task_url)} {media.task_id} · {escape_markdown(media.name, 120)}",
        ),
        ("frame", f"{frame.number} · {escape_markdown(frame.name, 300)}"),
        ("job", str(frame.job_ids[0]) if frame.job_ids else "none"),
        ("image", _image_facts(outcome)),
        ("function", escape_markdown(reproduction.function, 300)),
        ("fingerprint", reproduction.fingerprint or "none"),
    ]
    if outcome.detections is not None:
        at = failure.annotation_index
        which = "" if at is None else f"; the one at fault is number {at}, counted from 0"
        facts.append(("returned", f"{len(outcome.detections):,} annotations{which}"))
    parts = [
        f"![frame {frame.number}]({data_uri(picture)})" if picture else "",
        f"**[Open the frame in CVAT]({media.frame_url(frame)})**",
        table(["", ""], facts),
        "Run this frame alone, writing nothing:",
        code_block(reproduction.command(frame), 1000),
    ]
    if failure.detail.strip() and not brief:
        parts += ["All of the error:", code_block(failure.detail, 3000)]
    return "\n\n".join(part for part in parts if part)


def failed_markdown(report: RunReport, kept: FailedFrames, *, table_path: str = "") -> str:
    """The table of a run's failed frames, grouped by error when there are many.

    At most `MOST_SHOWN` rows, and `TABLE_BYTES` in all: pictures that do not fit are left out.
    """
    rows = report.failed
    head = [
        f"## Failed frames of {escape_markdown(str(report.media), 120)}",
        escape_markdown(report.sentence, 800),
    ]
    if not rows:
        return "\n\n".join([*head, "No frame failed."])
    groups = _groups(rows) if len(rows) > SEVERAL else [rows]
    shown = _shown(groups, kept)
    if len(groups) > 1:
        head.append(_overview(groups))
    rest = len(rows) - len(shown)
    tail = []
    if rest > 0:
        where = f"; the per-frame table has all of them: `{table_path}`" if table_path else ""
        tail = [f"**{rest:,} more failed frames are not shown{where}**"]

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


def _overview(groups: Sequence[Sequence[FrameRow]]) -> str:
    lines = ["| failed | step | error |", "|---|---|---|"]
    lines += [
        f"| {len(group):,} | {group[0].step} | {escape_markdown(_short(group[0]), 160)} |"
        for group in groups[:_MOST_GROUPS]
    ]
    if len(groups) > _MOST_GROUPS:
        lines += ["", f"and {len(groups) - _MOST_GROUPS:,} more errors"]
    return "\n".join(lines)


def _heading(group: Sequence[FrameRow], shown: Collection[int]) -> str:
    count = sum(row.frame in shown for row in group)
    what = escape_markdown(f"{group[0].step} · {group[0].error_type}", 60)
    frames = "1 frame" if len(group) == 1 else f"{len(group):,} frames"
    return f"### {what}: {frames}{f', {count} of them shown' if count < len(group) else ''}"


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
    head = [f"| {_WIDE} | frame | file | open | step | error |", "|---" * 6 + "|"]
    return "\n".join([*head, *lines]) if lines else ""


def stored_size(text: str) -> int:
    """Bytes of a text in Prefect's database, which keeps it as JSON in ASCII."""
    return len(json.dumps(text))


def _line(row: FrameRow, kept: FailedFrame, media: TaskMedia, picture: str) -> str:
    frame = media.frame(row.frame)
    links = link("CVAT", media.frame_url(frame))
    if kept.task_run_id:
        # Relative: it stays in the UI, V1 or V2, that shows it, under whatever address.
        links += f" {link('run', f'../../runs/task-run/{kept.task_run_id}')}"
    name = escape_markdown(shorten_name(row.name))
    return (
        f"| {picture} | {row.frame} | {name} | {links} | {row.step} "
        f"| {escape_markdown(_short(row), 200)} |"
    )


def _short(row: FrameRow) -> str:
    """The error without what the other columns say."""
    text = on_one_line(row.error)
    for said in (f"frame {row.frame} · {shorten_name(row.name, 80)}: ", "the function failed on "):
        text = text.replace(said, "")
    return text


def _groups(rows: Sequence[FrameRow]) -> list[list[FrameRow]]:
    """Rows by error, the largest group first. Numbers and names do not make errors different."""
    groups: dict[tuple[str, ...], list[FrameRow]] = {}
    for row in rows:
        text = _NUMBER.sub("0", _short(row).replace(shorten_name(row.name, 80), ""))
        text = text.replace(row.name, "")
        groups.setdefault((row.step or "", row.error_type, text[:120]), []).append(row)
    return sorted(groups.values(), key=lambda group: -len(group))


def _shown(groups: Iterable[Sequence[FrameRow]], kept: FailedFrames) -> set[int]:
    """Numbers of the frames that get a row: some of each group, then those with a picture."""
    groups = list(groups)
    shown = [row.frame for group in groups for row in group[:_AT_LEAST]]
    rest = [row.frame for group in groups for row in group[_AT_LEAST:]]
    rest.sort(key=lambda number: (number not in kept, number))
    return set([*shown, *rest][:MOST_SHOWN])


def _image_facts(outcome: Outcome) -> str:
    size = f"{outcome.frame.width}x{outcome.frame.height}"
    return f"{size}, SHA-256 {outcome.content_hash}" if outcome.content_hash else size
