"""What a run's report says about its frames."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from math import isnan
from pathlib import Path

import pandas as pd
import pytest
from attrs import evolve

from cvat_flows.tasks.fetch import plan
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.reports.run_report import MAX_FAILURES_WITH_DETAILS
from cvat_flows.tasks.reports.table import COLUMNS, to_csv, to_parquet
from cvat_flows.tasks.upload.frames.result import FrameUpload
from tests.tasks.reports.report_factory import (
    HOSTILE,
    annotated,
    failed,
    media_of,
    names_of,
    report_of,
)

STEPS = ("fetch", "detect", "validate", "remap", "upload")


def test_failures_are_counted_by_kind() -> None:
    media = media_of(names_of(1200))
    outcomes = [annotated(media.frame(n)) for n in range(1196)]
    outcomes += [failed(media.frame(n), step="upload") for n in (1196, 1197)]
    outcomes += [failed(media.frame(n), step="fetch") for n in (1198, 1199)]
    assert report_of(media, outcomes).sentence == (
        "1,196 of 1,200 frames annotated, 4 failed (2 unreadable, 2 rejected by CVAT): "
        "frame 1196 img_01196.jpg, frame 1197 img_01197.jpg, frame 1198 img_01198.jpg, "
        "frame 1199 img_01199.jpg"
    )


def test_one_failure_of_a_kind_is_singular() -> None:
    media = media_of(names_of(5))
    outcomes = [failed(media.frame(n), step=step) for n, step in enumerate(STEPS)]
    assert report_of(media, outcomes).failure_kinds() == (
        "1 unreadable, 1 function error, 1 invalid output, 1 not mappable, 1 rejected by CVAT"
    )


def test_only_the_first_failed_frames_are_named() -> None:
    media = media_of(names_of(30))
    report = report_of(media, [failed(media.frame(n)) for n in range(30)])
    assert report.sentence.endswith("frame 4 img_00004.jpg and 25 more")


def test_skipped_frames_are_counted_by_reason() -> None:
    media = media_of(names_of(4))
    outcomes = [Outcome(frame=media.frame(n), skipped="done before") for n in (0, 1)]
    outcomes.append(Outcome(frame=media.frame(2), skipped="deleted in CVAT"))
    text = "nothing to do, 3 skipped (2 done before, 1 deleted in CVAT)"
    assert report_of(media, outcomes).sentence == text
    outcomes.append(annotated(media.frame(3)))
    assert report_of(media, outcomes).sentence == (
        "1 of 1 frame annotated, 3 skipped (2 done before, 1 deleted in CVAT)"
    )


def test_a_dry_run_says_would() -> None:
    media = media_of(names_of(1))
    report = report_of(media, [annotated(media.frame(0))], dry_run=True)
    assert report.sentence == "1 of 1 frame would be annotated"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sentence_is_one_line(name: str) -> None:
    media = media_of([name])
    sentence = report_of(media, [failed(media.frame(0), name)]).sentence
    sentence.encode()
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 200


def test_a_later_outcome_replaces_an_earlier_one() -> None:
    media = media_of(names_of(2))
    first = evolve(annotated(media.frame(0)), counts={"clipped": 3})
    report = report_of(media, [first, failed(media.frame(1))])
    assert (report.count("annotated"), report.failed_count) == (1, 1)
    report.add([annotated(media.frame(1))])
    assert (report.count("annotated"), report.failed_count, report.failed) == (2, 0, [])
    report.add([evolve(failed(media.frame(0), step="upload"), counts={"clipped": 3})])
    assert [row.frame for row in report.failed] == [0]
    assert report.counts == {"clipped": 3}
    assert report.shapes_by_label == {"car": 1, "person": 1}


def test_only_the_first_failures_are_kept_with_details() -> None:
    media = media_of(names_of(MAX_FAILURES_WITH_DETAILS + 50))
    outcomes = [
        failed(media.frame(n), detail="x" * 10_000) for n in range(MAX_FAILURES_WITH_DETAILS + 50)
    ]
    report = report_of(media, outcomes)
    assert len(report.failures) == MAX_FAILURES_WITH_DETAILS
    assert report.failed_count == MAX_FAILURES_WITH_DETAILS + 50


def test_uploads_add_up_over_jobs() -> None:
    media = media_of(names_of(2))
    report = report_of(media, [annotated(media.frame(0)), failed(media.frame(1), step="upload")])
    report.add_uploads([FrameUpload(frame=0, created=2, kept=1), FrameUpload(frame=1, deleted=4)])
    report.add_uploads([FrameUpload(frame=0, created=1), FrameUpload(frame=7, created=1)])
    assert (report.created, report.kept, report.deleted) == (4, 1, 4)
    assert (report.rows[0].created, report.rows[0].kept) == (3, 1)
    assert report.failed[0].deleted == 4
    assert report.annotations == "4 created, 1 already there, 4 deleted"


def test_what_was_left_out_is_counted_with_its_reason() -> None:
    media = media_of(names_of(9))
    counts = {"clipped": 1, "dropped": 2, "unmatched": 3, "below threshold": 1_000}
    skipped = ["set aside", "deleted in CVAT", "deleted in CVAT", "done before"]
    report = report_of(
        media,
        [
            evolve(annotated(media.frame(0)), counts=counts),
            *(Outcome(frame=media.frame(n), skipped=why) for n, why in enumerate(skipped, 1)),
        ],
        not_selected=4,
    )
    report.add_uploads([FrameUpload(frame=0, withheld=2), FrameUpload(frame=0, withheld=1)])
    assert report.rows[0].withheld == 3
    assert report.set_aside == 1
    rows = report.left_out
    assert [one.what for one in rows] == [
        "2 frames deleted in CVAT",
        "1 frame set aside",
        "1 frame done before",
        "4 frames not selected",
        "3 annotations withheld",
        "3 annotations unmatched",
        "2 annotations dropped",
        "1,000 annotations below threshold",
    ]
    assert all(one.remedy for one in rows)
    reasons = ["withheld", "unmatched", "dropped", "below_threshold"]
    assert report.table()[reasons].to_numpy().tolist() == [[3, 3, 2, 1_000], *[[0] * 4] * 4]
    assert report.sentence == (
        "1 of 1 frame annotated, 4 skipped (2 deleted in CVAT, 1 set aside, 1 done before), "
        "annotations left out: 3 withheld, 3 unmatched, 2 dropped, 1,000 below threshold"
    )


def test_every_reason_to_skip_a_frame_has_a_remedy() -> None:
    """A reason that is added to the plan needs its text."""
    text = Path(plan.__file__).read_text()
    reasons = re.findall(r'^[A-Z_]+ = "(.*)"$', text, re.MULTILINE)
    assert len(reasons) >= 7
    media = media_of(names_of(len(reasons)))
    skipped = [Outcome(frame=media.frame(n), skipped=why) for n, why in enumerate(reasons)]
    assert all(one.remedy for one in report_of(media, skipped).left_out)


def test_scores_are_counted_by_label() -> None:
    media = media_of(names_of(3))
    outcomes = [
        annotated(media.frame(0), 1, score=0.0),
        annotated(media.frame(1), 1, score=1.0),
        annotated(media.frame(2), 2, score=None),
    ]
    report = report_of(media, outcomes)
    assert report.scores_by_label(4) == {"car": [1, 0, 0, 1]}


def test_the_table_survives_parquet() -> None:
    media = media_of(names_of(4))
    report = report_of(
        media,
        [
            annotated(media.frame(0), 2, score=0.25),
            annotated(media.frame(1), 1, score=None),
            failed(media.frame(2), "boom", step="fetch"),
            Outcome(frame=media.frame(3), skipped="done before"),
        ],
    )
    table = pd.read_parquet(io.BytesIO(to_parquet(report.sorted_rows())))
    assert tuple(table.columns) == COLUMNS
    assert list(table["outcome"]) == ["annotated", "annotated", "failed", "skipped"]
    assert [list(scores) for scores in table["scores"][:1]] == [[0.25, 0.25]]
    assert isnan(table["scores"][1][0])
    assert table["lowest_score"][0] == 0.25
    assert json.loads(table["labels"][0]) == {"car": 1, "person": 1}
    assert (table["step"][2], table["error"][2]) == ("fetch", "boom")
    assert table["skipped"][3] == "done before"
    assert list(table["job"]) == [7] * 4


def test_a_parquet_file_is_written_without_pandas() -> None:
    script = (
        "import sys\n"
        "from cvat_flows.tasks.reports.table import FrameRow, to_parquet\n"
        "row = FrameRow(frame=1, name='\\U0001f600.jpg', job=3, outcome='annotated')\n"
        "assert to_parquet([row])[:4] == b'PAR1'\n"
        "assert 'pandas' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_long_row_fits_into_parquet() -> None:
    media = media_of(names_of(2))
    report = report_of(
        media, [annotated(media.frame(0), 120_000, score=0.123456), annotated(media.frame(1), 1)]
    )
    table = pd.read_parquet(io.BytesIO(to_parquet(report.sorted_rows())))
    assert [len(scores) for scores in table["scores"]] == [120_000, 1]


def test_the_table_survives_csv() -> None:
    media = media_of(HOSTILE)
    report = report_of(media, [failed(media.frame(n), text) for n, text in enumerate(HOSTILE)])
    table = pd.read_csv(io.BytesIO(to_csv(report.sorted_rows())), keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(HOSTILE)
    for name, stored in zip(HOSTILE, table["name"], strict=True):
        if name.isprintable() and not name.startswith("="):
            assert stored == name
    assert table["name"][HOSTILE.index("=1+1")] == "'=1+1"
    assert not any(str(text).startswith(("=", "+", "@")) for text in table["error"])


def test_a_run_over_nothing_has_an_empty_table() -> None:
    report = report_of(media_of([]), [])
    assert tuple(report.table().columns) == COLUMNS
    to_parquet(report.sorted_rows())
    to_csv(report.sorted_rows())


def test_every_column_is_documented() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "reports.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert tuple(documented) == COLUMNS
