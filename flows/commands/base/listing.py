"""The commands, and what each does, without importing them: some take a second to import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "cvat_flows.commands"


def find_commands() -> Mapping[str, EntryPoint]:
    """Return the installed commands by name, in alphabetical order."""
    known = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return {entry.name: entry for entry in known}


def find_command(name: str) -> EntryPoint | None:
    """Return an installed command.

    Those of this package are found without reading the metadata of all other packages.
    """
    with suppress(PackageNotFoundError):
        own = distribution("cvat-flows").entry_points.select(group=GROUP, name=name)
        for entry in own:
            return entry
    return find_commands().get(name)


def describe(entry: EntryPoint) -> str:
    """Return what a command does: the first paragraph of its module's docstring.

    The docstring is read from the file if the module is not imported.

    The module `cvat_flows.flows.commands.undo` begins with ``"`cvat-flows undo`: delete ..."``.
    """
    imported = sys.modules.get(entry.module)
    docstring = getattr(imported, "__doc__", None) or _read_docstring(entry.module)
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    text = paragraph.partition("`: ")[2] or paragraph
    return text[:1].upper() + text[1:]


def _read_docstring(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
