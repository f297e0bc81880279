"""The pages agree with the code: links, commands, the reference, and messages that they quote."""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr
from importlib.metadata import entry_points
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SOURCES = ("aa_functions", "flows", "tasks", "deployments")
REFERENCE = ROOT / "docs" / "reference.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"


def test_reference_is_what_the_generator_writes() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]
    assert REFERENCE.read_text() == reference(), "run `make docs`"


def test_reference_has_every_environment_variable() -> None:
    page = REFERENCE.read_text()
    named = {text for text in strings() if re.fullmatch(r"CVAT_[A-Z0-9_]+", text)}
    assert "CVAT_FLOWS_STORAGE" in named
    assert {name for name in named if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_says_of_each_page_what_it_is() -> None:
    index = ROOT / "docs" / "README.md"
    sections = re.split(r"^## (.+)$", index.read_text(), flags=re.MULTILINE)
    assert sections[1::2] == ["Quick start", "How to", "Reference", "Explanation"]
    linked = set(re.findall(r"\]\(([\w.-]+)", " ".join(sections[2::2])))
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    assert pages - {"README.md"} - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_repository_exist(page: Path) -> None:
    folders = "|".join([*SOURCES, "bench", "docs", "tests"])
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    parser = command_line()
    refused = []
    for command in commands(page):
        message = StringIO()
        try:
            with redirect_stderr(message):
                parser.parse_args(shlex.split(command, comments=True)[1:])
        except SystemExit as error:
            if error.code:
                refused.append(f"{command}: {message.getvalue().splitlines()[-1]}")
    assert refused == []


def test_troubleshooting_quotes_messages_of_the_code() -> None:
    symptoms = re.findall(r"^\| (.+?) \|", TROUBLESHOOTING.read_text(), re.MULTILINE)
    quoted = {message for symptom in symptoms for message in re.findall(r"`([^`]+)`", symptom)}
    assert "is being written to by" in quoted
    code = "\n".join(strings())
    assert {message for message in quoted if message not in code} == set()


def commands(page: Path) -> Iterator[str]:
    """The `cvat-flows` commands in a page's console blocks and in its text."""
    text = page.read_text()
    for block in re.findall(r"^ *```console\n(.*?)^ *```$", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            # Without what a shell adds.
            if found := re.search(r"\$ (?:.*\s)?(cvat-flows [^&|;>]*)", line):
                yield from _complete(found[1])
    for span in re.findall(r"`(cvat-flows [^`]+)`", text):
        if len(span.split()) > 2:
            yield from _complete(" ".join(span.split()))


def _complete(command: str) -> Iterator[str]:
    # `...` and `[RUN]` stand for something.
    if not re.search(r"\.\.\.|\[", command):
        yield command


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cvat-flows", allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True)
    for entry in entry_points(group="cvat_flows.commands"):
        command = entry.load()
        command.configure(subparsers.add_parser(command.name, allow_abbrev=False))
    return parser


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def strings() -> Iterator[str]:
    """Every string constant of the sources; the parts of an f-string come one by one."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
