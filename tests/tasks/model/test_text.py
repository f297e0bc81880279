"""Untrusted text is shown literally and hides nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.model.error_text import error_text, traceback_text
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.model.text import (
    WORD_JOINER,
    code_block,
    counted,
    escape_markdown,
    escape_xml,
    host_slug,
    link,
    on_one_line,
    shorten_name,
    slug,
)
from tests.tasks.reports.markdown_reader import read
from tests.tasks.reports.report_factory import HOSTILE

ANY_TEXT = st.one_of(st.text(), st.sampled_from(HOSTILE))
ALLOWED = {"inline", "text", "text_special", "table_open", "table_close", "thead_open"}
ALLOWED |= {"thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open"}
ALLOWED |= {"th_close", "td_open", "td_close"}


@given(ANY_TEXT)
def test_a_line_can_be_stored_and_hides_nothing(text: str) -> None:
    line = on_one_line(text, 200)
    line.encode()
    json.dumps(line)
    assert len(line) <= 200
    assert not any(ord(character) < 32 or character == "\x7f" for character in line)
    assert not set(line) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\n\r\u2028")


@given(ANY_TEXT)
def test_a_table_cell_shows_the_text_and_nothing_else(text: str) -> None:
    page = read(f"| head | next |\n|---|---|\n| {escape_markdown(text)} | end |")
    (table,) = page.tables
    assert [row[1] for row in table] == ["next", "end"]
    assert table[1][0].strip() == on_one_line(text).strip()
    assert page.kinds <= ALLOWED
    assert not page.links


@given(ANY_TEXT)
def test_a_code_block_contains_exactly_the_text(text: str) -> None:
    page = read(f"{code_block(text)}\n\nafter")
    assert len(page.code) == 1
    assert page.text.endswith("after\n")
    assert page.kinds <= {"fence", "paragraph_open", "paragraph_close", "inline", "text"}


@given(ANY_TEXT)
def test_xml_shows_the_text(text: str) -> None:
    element = ET.fromstring(f'<a title="{escape_xml(text, 500)}">{escape_xml(text, 500)}</a>')
    assert (element.text or "") == on_one_line(text, 500)
    assert element.get("title") == on_one_line(text, 500)


@given(ANY_TEXT)
def test_a_slug_has_only_letters_digits_and_dashes(text: str) -> None:
    made = slug(text)
    assert made
    assert len(made) <= 60
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    "text", ["http://a.example", "HTTPS://a.example", "www.a.example", "x@a.b"]
)
def test_addresses_are_broken_so_that_no_ui_links_them(text: str) -> None:
    shown = escape_markdown(text)
    assert WORD_JOINER in shown
    assert shown.replace(WORD_JOINER, "").replace("\\", "") == text


def test_a_long_word_can_wrap() -> None:
    assert max(map(len, escape_markdown("x" * 100).split("\u200b"))) == 32


def test_a_shortened_name_keeps_its_end() -> None:
    assert shorten_name("a" * 60 + "_0005.jpg", 20) == "aaaaaaaaa…a_0005.jpg"
    assert shorten_name("short.jpg", 20) == "short.jpg"


def test_characters_that_end_a_link_are_encoded() -> None:
    page = read(link("open", "https://a.example/x) [y](z|<w> `v`"))
    assert page.links == ["https://a.example/x%29%20%5By%5D%28z%7C%3Cw%3E%20%60v%60"]
    assert link("open", None) == "open"


def test_host_slugs() -> None:
    assert host_slug("https://CVAT.example.com:8443/") == "cvat-example-com-8443"
    assert host_slug("nonsense") == "nonsense"


def test_a_number_and_its_noun_agree() -> None:
    assert counted(1, "frame") == "1 frame"
    assert counted(0, "frame") == "0 frames"
    assert counted(1200, "failed frame") == "1,200 failed frames"
    assert counted(2, "entry", "entries") == "2 entries"


class _NoText(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("  two\n lines "), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (_NoText(), "_NoText"),
        (ValueError("\ud800"), "ValueError: ?"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("x" * 10**7), "ValueError: " + "x" * 49 + "…"),
    ],
)
def test_the_text_of_any_error(error: BaseException, text: str) -> None:
    assert error_text(error, 50) == text
    traceback_text(error).encode()


@pytest.mark.parametrize("name", ["error", "error_type", "detail"])
def test_a_failure_can_be_stored(name: str) -> None:
    values: dict[str, Any] = {"step": "detect", "error": "", "error_type": "X", name: "a\ud800"}
    assert getattr(Failure(**values), name) == "a\N{REPLACEMENT CHARACTER}"
