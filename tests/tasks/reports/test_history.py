"""Kept figures over time."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from xml.etree import ElementTree

import pandas as pd

from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.quality.measurement import Measurement, Version
from cvat_flows.tasks.reports.evaluation.history import (
    HistoryReport,
    history_csv,
    history_markdown,
    history_parquet,
    history_section,
)
from cvat_flows.tasks.reports.evaluation.trend import lines_chart


def night(day: int, right: int, *, fingerprint: str = "aaaa1111", **values: object) -> Measurement:
    car = Counts(right=right, extra=10 - right, missed=10)
    dog = Counts(missed=1)
    return Measurement(
        kind="review",
        version=Version(fingerprint=fingerprint, options="o1"),
        function="cars.py",
        when=f"2026-11-{day:02}T02:00:00+00:00",
        about="cvat.example, uploads of the last 90 days",
        overall=Counts(right=right, extra=10 - right, missed=11),
        labels={"dog": dog, "car": car},
        **values,  # type: ignore[arg-type]
    )


NIGHTS = HistoryReport(
    title="Figures", measurements=[night(1, 5), night(2, 8), night(3, 9, fingerprint="bbbb2222")]
)


def test_the_table_by_label_and_day() -> None:
    (series,) = NIGHTS.series()
    assert series.headings() == ("label", "2026-11-01", "2026-11-02", "2026-11-03")
    assert series.rows() == [
        ("car", "0.500 / 0.333", "0.800 / 0.444", "0.900 / 0.474"),
        ("dog", "- / 0.000", "- / 0.000", "- / 0.000"),
        ("all", "0.500 / 0.312", "0.800 / 0.421", "0.900 / 0.450"),
        ("objects", "10", "10", "10"),
        ("version", "aaaa1111", "aaaa1111", "bbbb2222"),
    ]


def test_of_several_versions_of_a_day_the_one_with_most_objects_is_shown() -> None:
    small = Measurement(
        kind="review",
        version=Version(fingerprint="cccc3333", options="o1"),
        function="cars.py",
        when="2026-11-03T02:00:00+00:00",
        about=NIGHTS.measurements[0].about,
        overall=Counts(right=1),
        labels={},
    )
    (series,) = HistoryReport(title="", measurements=[*NIGHTS.measurements, small]).series()
    assert series.rows()[-1][-1] == "bbbb2222"
    assert len(list(HistoryReport(title="", measurements=[small]).points())) == 1


def test_the_page_has_a_chart_of_each_series() -> None:
    page = history_markdown(NIGHTS)
    assert "cars.py, review of cvat.example, uploads of the last 90 days" in page.replace("\\", "")
    assert "| car | 0.500 / 0.333 | 0.800 / 0.444 | 0.900 / 0.474 |" in page
    (uri,) = re.findall(r"\(data:image/svg\+xml;base64,([^)]*)\)", page)
    texts = [node.text for node in ElementTree.fromstring(b64decode(uri)).iter() if node.text]
    assert {"all", "car", "dog", "2026-11-01", "2026-11-03"} <= set(texts)
    empty = HistoryReport(title="Figures", measurements=[])
    assert "Nothing was measured yet." in history_markdown(empty)


def test_a_report_of_the_first_day_has_no_history() -> None:
    first = HistoryReport(title="", measurements=NIGHTS.measurements[:1])
    assert history_section(first) == []
    assert len(history_section(NIGHTS)) == 5
    assert "| car | 0.500 / 0.333 |" in history_markdown(first)


def test_a_line_leaves_out_what_is_undefined() -> None:
    chart = lines_chart(["a", "b", "c"], {"all": [0.5, None, 1.0], "dog": [None, None, None]})
    root = ElementTree.fromstring(chart)
    (line,) = root.findall("{*}polyline")
    assert len(line.attrib["points"].split()) == 2


def test_the_files_have_every_label_and_day() -> None:
    table = pd.read_parquet(io.BytesIO(history_parquet(NIGHTS)))
    assert len(table) == 9
    cars = table[table.label == "car"]
    assert cars.precision.tolist() == [0.5, 0.8, 0.9]
    assert cars.fingerprint.tolist() == ["aaaa1111", "aaaa1111", "bbbb2222"]
    assert history_csv(NIGHTS).decode().splitlines()[1].endswith(",dog,0,0,1,,0")
