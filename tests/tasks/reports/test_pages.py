"""The report, the charts and the preview page: well-formed, limited in size, no injection."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from attrs import evolve
from PIL import Image

from cvat_flows.tasks.matching.result import MatchRow
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.charts import bar_chart, histograms
from cvat_flows.tasks.reports.pictures.contact_sheet import SHEET_BYTES, contact_sheet
from cvat_flows.tasks.reports.pictures.outlines import outlines_of
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.pictures.thumbnails import PictureSize, make_thumbnail
from cvat_flows.tasks.reports.preview import preview_page
from cvat_flows.tasks.reports.preview_markdown import preview_markdown
from cvat_flows.tasks.reports.run_markdown import report_markdown
from cvat_flows.tasks.reports.run_report import RunReport
from tests.tasks.reports.markdown_reader import read
from tests.tasks.reports.report_factory import (
    HOSTILE,
    annotated,
    failed,
    media_of,
    names_of,
    noise,
    report_of,
)


def samples_of(media: TaskMedia, count: int = 12) -> list[Sample]:
    return [
        Sample(
            frame=media.frame(n),
            picture=make_thumbnail(noise(), PictureSize(max_side=240, max_bytes=9000)),
            outlines=tuple(
                outlines_of((a, "car") for a in annotated(media.frame(n)).annotations or ())
            ),
        )
        for n in range(min(count, media.size))
    ]


def hostile_report() -> RunReport:
    labels = tuple(
        Label(id=n, name=name, type="any", attributes=(), sublabels=())
        for n, name in enumerate(HOSTILE)
    )
    media = media_of(HOSTILE, task=HOSTILE[3])
    report = RunReport(
        media=media,
        function=HOSTILE[3],
        fingerprint=None,
        labels=labels,
        match=tuple(
            MatchRow(
                kind="label",
                function=name,
                function_type="any",
                task=name,
                task_type=name,
                status="missing" if n % 2 else "matched",
                message=name,
            )
            for n, name in enumerate(HOSTILE)
        ),
        command="cvat-flows annotate ```\n`x` <b>",
    )
    outcomes: list[Outcome] = []
    for n in range(len(HOSTILE)):
        frame = media.frame(n)
        found = annotated(frame, 1)
        (one,) = found.annotations or ()
        outcomes.append(evolve(found, annotations=(evolve(one, label_id=n),)))
    report.add([*outcomes[:-3], *(failed(media.frame(n), HOSTILE[n]) for n in (17, 18, 19))])
    report.counts.update({"<b>|clipped": 3})
    report.finish()
    return report


def test_a_report_has_the_run_in_figures() -> None:
    media = media_of(names_of(4))
    outcomes = [annotated(media.frame(n)) for n in range(3)]
    outcomes.append(failed(media.frame(3)))
    report = report_of(media, outcomes, command="cvat-flows annotate 123", created=6)
    report.counts["clipped"] = 2
    report.step_seconds = {"fetch": 1.25, "detect": 3.0}
    markdown = report_markdown(report, samples_of(media), files=[("per-frame table", "a/b.csv")])
    page = read(markdown)
    facts = {row[0]: row[1] for row in page.tables[0] if row[0]}
    assert facts["frames"] == "3 annotated, 1 failed, 0 skipped"
    assert facts["annotations"] == "6 created, 0 already there, 0 deleted"
    assert facts["from the cache"] == "0 of 3 annotated frames"
    assert facts["clipped, dropped"] == "2 clipped"
    assert facts["fingerprint"] == "f" * 12
    assert page.code == ["cvat-flows annotate 123\n"]
    assert page.links == ["https://cvat.example.com/tasks/123"]
    assert len(page.images) == 4
    assert "a/b.csv" in page.text
    assert len(markdown) < 90_000


def test_hostile_names_stay_text_in_reports() -> None:
    report = hostile_report()
    samples = samples_of(report.media)
    for markdown in (report_markdown(report, samples), preview_markdown(report, samples)):
        page = read(markdown)
        assert not {"html_inline", "html_block", "em_open", "s_open"} & page.kinds
        assert page.links == ["https://cvat.example.com/tasks/123"]
        assert all(image.startswith("data:image/") for image in page.images)
        for table in page.tables:
            assert len({len(row) for row in table}) == 1
        for image in page.images:
            content = base64.b64decode(image.partition("base64,")[2])
            if image.startswith("data:image/svg"):
                ET.fromstring(content)
            else:
                Image.open(io.BytesIO(content)).load()


@pytest.mark.parametrize("name", HOSTILE)
def test_charts_are_svg_whatever_the_labels(name: str) -> None:
    for svg in (bar_chart(name, [(name, 3.0, name)]), histograms(name, {name: [1, 0, 2]})):
        root = ET.fromstring(svg)
        assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
            "svg",
            "text",
            "rect",
            "path",
        }


def test_charts_without_data() -> None:
    ET.fromstring(bar_chart("none", []))
    ET.fromstring(histograms("none", {}))
    ET.fromstring(bar_chart("zero", [("a", 0.0, "0")]))


def test_the_contact_sheet_is_limited_in_size() -> None:
    media = media_of(names_of(12))
    sheet = contact_sheet(samples_of(media))
    assert sheet is not None
    assert len(sheet) <= SHEET_BYTES
    assert contact_sheet([]) is None
    one = contact_sheet(samples_of(media, 1))
    assert one is not None
    assert Image.open(io.BytesIO(one)).size == (200, 168)


def content_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_untrusted_text_stays_in_the_json_of_the_preview_page() -> None:
    report = hostile_report()
    page = preview_page(report, samples_of(report.media), threshold=0.4)
    content = content_of(page)
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "{{" not in page.partition('id="content">')[0]
    assert content["threshold"] == 0.4
    assert content["frames"][1]["name"] == HOSTILE[1]
    assert [row["bad"] for row in content["match"][:2]] == [False, True]
    (shape, *_) = content["frames"][0]["shapes"]
    assert shape["parts"] == [[10.0, 10.0, 100.0, 10.0, 100.0, 100.0, 10.0, 100.0]]
    assert content["frames"][0]["width"] == 640
    assert not re.search(r"""(src|href)\s*=\s*["']?(http|//)""", page)


def test_the_preview_says_how_many_frames_it_does_not_show() -> None:
    media = media_of(names_of(30))
    report = report_of(media, [annotated(media.frame(n)) for n in range(30)])
    assert content_of(preview_page(report, samples_of(media, 10)))["others"] == 20
