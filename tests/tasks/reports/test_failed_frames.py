"""The table of failed frames and the page of one, also with hostile names."""

from __future__ import annotations

import base64

import pytest

from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.reports.failed_frames import (
    MAX_SHOWN,
    PAGES_BYTES,
    TABLE_BYTES,
    FailedFrame,
    FailedFrames,
    failed_markdown,
    stored_size,
)
from cvat_flows.tasks.reports.frame_page import frame_markdown
from tests.tasks.reports.markdown_reader import read
from tests.tasks.reports.report_factory import (
    HOSTILE,
    annotated,
    failed,
    media_of,
    names_of,
    rectangle,
    report_of,
    reproduction,
)

HEADING = ["frame", "file", "open", "step", "error"]


def test_a_row_has_the_error_and_links() -> None:
    media = media_of(names_of(3))
    outcomes = [
        annotated(media.frame(0)),
        failed(media.frame(1), "frame 1 · img_00001.jpg: the image is damaged", step="fetch"),
        annotated(media.frame(2)),
    ]
    kept = FailedFrames()
    kept.add(FailedFrame(number=1, thumbnail=b"jpeg", task_run_id="run-1"))
    page = read(failed_markdown(report_of(media, outcomes), kept))
    ((heading, row),) = page.tables
    assert [cell.strip() for cell in heading[1:]] == HEADING
    assert row[1:] == ["1", "img_00001.jpg", "CVAT run", "fetch", "the image is damaged"]
    assert page.images == ["data:image/jpeg;base64," + base64.b64encode(b"jpeg").decode()]
    assert page.links == [
        "https://cvat.example.com/tasks/123/jobs/7?frame=1",
        "../../runs/task-run/run-1",
    ]
    assert "2 of 3 frames annotated, 1 failed (1 unreadable)" in page.text


def test_few_failures_are_listed_by_frame_and_many_by_error() -> None:
    media = media_of(names_of(40))

    def outcomes(count: int) -> list[Outcome]:
        return [
            failed(
                media.frame(n),
                f"the function failed on {media.frame(n)}: KeyError: {n}"
                if n % 3
                else f"annotation {n}: a bad label",
                step="detect" if n % 3 else "validate",
                error_type="KeyError" if n % 3 else "BadOutputError",
            )
            for n in range(count)
        ]

    few = read(failed_markdown(report_of(media, outcomes(6)), FailedFrames()))
    assert [row[1] for row in few.tables[0][1:]] == ["0", "1", "2", "3", "4", "5"]
    overview, first, second = read(
        failed_markdown(report_of(media, outcomes(30)), FailedFrames())
    ).tables
    assert overview[1:] == [
        ["20", "detect", "KeyError: 1"],
        ["10", "validate", "annotation 0: a bad label"],
    ]
    assert len(first) == 21
    assert {row[4] for row in first[1:]} == {"detect"}
    assert len(second) == 11


def test_the_first_hundred_are_shown_and_the_others_counted() -> None:
    media = media_of(names_of(1500))
    outcomes = [failed(media.frame(n)) for n in range(1430)]
    kept = FailedFrames()
    for n in range(200):
        kept.add(FailedFrame(number=n, thumbnail=b"j" * 1000))
    assert len(kept) == MAX_SHOWN
    assert kept.room == 0
    page = read(failed_markdown(report_of(media, outcomes), kept, table_path="results/x.csv"))
    assert len(page.tables[-1]) == 1 + MAX_SHOWN
    assert len(page.images) == MAX_SHOWN
    assert "1,330 more failed frames are not shown" in page.text
    assert "results/x.csv" in page.text


def test_every_kind_of_error_is_shown_however_rare() -> None:
    media = media_of(names_of(2000))
    outcomes = [failed(media.frame(n)) for n in range(1999)]
    outcomes.append(failed(media.frame(1999), "refused by CVAT", step="upload"))
    page = read(failed_markdown(report_of(media, outcomes), FailedFrames()))
    assert any(row[1] == "1999" for table in page.tables[1:] for row in table)


@pytest.mark.parametrize("count", [len(HOSTILE), 4])
def test_hostile_names_and_errors_stay_in_their_cells(count: int) -> None:
    media = media_of(HOSTILE, task=HOSTILE[4])
    outcomes = [
        failed(media.frame(n), f"{HOSTILE[-1 - n]} {name}", error_type=HOSTILE[n][:80] or "E")
        for n, name in enumerate(HOSTILE[:count])
    ]
    page = read(failed_markdown(report_of(media, outcomes), FailedFrames()))
    rows = [row for table in page.tables for row in table]
    assert {len(row) for row in rows} <= {3, 6}
    assert sum(len(row) == 6 and row[1] != "frame" for row in rows) == count
    assert {link.partition("/tasks/")[0] for link in page.links} == {"https://cvat.example.com"}
    assert len(page.links) == count
    assert not page.images
    assert not {"html_inline", "html_block", "code_inline", "em_open", "s_open"} & page.kinds


def test_ten_thousand_failures_with_long_texts_fit() -> None:
    media = media_of([f"{'שא|' * 300}{n}" for n in range(10_000)])
    outcomes = [
        failed(media.frame(n), f"{chr(0x5D0 + n % 27) * 400}{n}|`<", error_type=f"E{n}")
        for n in range(10_000)
    ]
    kept = FailedFrames()
    for n in range(10_000):
        kept.add(FailedFrame(number=n, thumbnail=b"\xff" * 1700, task_run_id="x" * 36))
    markdown = failed_markdown(report_of(media, outcomes), kept)
    assert stored_size(markdown) <= TABLE_BYTES
    assert len(read(markdown).images) > 10


def test_a_page_has_everything_to_reproduce_the_failure() -> None:
    media = media_of(names_of(8))
    outcome = failed(
        media.frame(5),
        "annotation 1: unknown label ID (99)",
        step="validate",
        error_type="BadOutputError",
        detail="Traceback:\n  ```\n  boom",
        detections=(rectangle(0, 0, 1, 1), rectangle(0, 0, 1, 1, label=99)),
        at=1,
    )
    assert outcome.failure
    markdown = frame_markdown(outcome, outcome.failure, media, reproduction(), picture=b"jpeg")
    page = read(markdown)
    facts = {row[0]: row[1] for row in page.tables[0] if row[0]}
    assert facts["error"] == "annotation 1: unknown label ID (99)"
    assert facts["step"] == "validate (BadOutputError)"
    assert facts["frame"] == "5 · img_00005.jpg"
    assert facts["job"] == "7"
    assert facts["image"] == "640x480"
    assert facts["function"] == "aa_functions.yolov8n"
    assert facts["fingerprint"] == "f" * 64
    assert facts["returned"] == "2 annotations; the one at fault is number 1, counted from 0"
    assert page.code == ["cvat-flows preview 123 --frames 5\n", "Traceback:\n  ```\n  boom\n"]
    assert page.links[0] == "https://cvat.example.com/tasks/123/jobs/7?frame=5"
    assert len(page.images) == 1
    brief = frame_markdown(
        outcome, outcome.failure, media, reproduction(), picture=None, brief=True
    )
    assert "boom" not in brief


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_do_not_break_a_page(text: str) -> None:
    media = media_of([text], task=text)
    outcome = failed(media.frame(0), text, error_type=text[:200], detail=text * 50)
    assert outcome.failure
    markdown = frame_markdown(outcome, outcome.failure, media, reproduction(), picture=None)
    markdown.encode()
    page = read(markdown)
    (table,) = page.tables
    assert {len(row) for row in table} == {2}
    assert len(page.links) == 2
    assert not {"html_inline", "html_block", "code_inline", "em_open", "s_open"} & page.kinds
    assert stored_size(markdown) < 30_000


def test_pages_are_limited_in_bytes() -> None:
    kept = FailedFrames()
    assert kept.reserve(PAGES_BYTES - 10)
    assert not kept.reserve(11)
    assert kept.reserve(10)
    assert not kept.reserve(1)


def test_a_run_without_failures_says_so() -> None:
    media = media_of(names_of(2))
    outcomes = [annotated(media.frame(n)) for n in range(2)]
    assert "No frame failed." in failed_markdown(report_of(media, outcomes), FailedFrames())
