"""The commands, and what each does, without importing them: some take a second to import."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "cvat_flows.commands"


def find_commands() -> Mapping[str, EntryPoint]:
    """Return the installed commands by name, in alphabetical order."""
    known = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return {entry.name: entry for entry in known}


def describe(entry: EntryPoint) -> str:
    """Return what a command does: the first paragraph of its module's docstring.

    The module `cvat_flows.flows.commands.undo` begins with ``"`cvat-flows undo`: delete ..."``.
    """
    spec = find_spec(entry.module)
    if spec is None or spec.origin is None:
        return ""
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    text = paragraph.partition("`: ")[2] or paragraph
    return text[:1].upper() + text[1:]
