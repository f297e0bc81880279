"""The sources of a function and of its local imports, and the libraries that they import."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from attrs import frozen

from aa_functions.inputs.digest import FingerprintError
from aa_functions.inputs.opened_files import INSTALLATION_FOLDERS
from aa_functions.inputs.parsing import parse

OWN_PACKAGES = frozenset({"aa_functions", "cvat_flows"})


@frozen
class Source:
    """A source file."""

    path: Path
    text: str


@cache
def package_version(name: str) -> str | None:
    """Return the version of the installed package with this import name, or None.

    The local part is left out: `2.13.0+cpu` and `2.13.0+cu128` are the same version.
    """
    distribution = name.replace("_", "-")
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # To look through all packages takes half a second.
        found = _distributions().get(name) if _is_installed(name) else None
        if not found:
            return None
        version = importlib.metadata.version(sorted(found)[0])
    return version.partition("+")[0]


def _is_installed(name: str) -> bool:
    """Return whether a top-level module is in a folder of installed packages."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    return any(INSTALLATION_FOLDERS.intersection(Path(place).parts) for place in places if place)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def is_own(module: ModuleType) -> bool:
    """Return whether the module belongs to this project."""
    return module.__name__.partition(".")[0] in OWN_PACKAGES


def sources_of(module: ModuleType) -> dict[str, Source]:
    """Return the sources of a module and of the local modules that it imports, directly or not.

    The module itself is called `function`, so that the name and place of its file do not count.
    """
    if module.__file__ is None:
        raise FingerprintError(f"the module '{module.__name__}' has no source.")
    package = (module.__package__ or "").partition(".")[0]
    found = {"function": _source(Path(module.__file__), module)}
    pending = list(_imports(found["function"].text, module.__package__ or ""))
    while pending:
        name = pending.pop()
        path = _local_source(name, package)
        if path is None or name in found or name == module.__name__:
            continue
        found[name] = _source(path, sys.modules.get(name))
        is_package = path.name == "__init__.py"
        pending += _imports(found[name].text, name if is_package else name.rpartition(".")[0])
    return found


_sources: WeakKeyDictionary[ModuleType, tuple[object, Source]] = WeakKeyDictionary()
"""The sources of imported modules, with their specs: reloading a module gives it a new spec."""


def _source(path: Path, module: ModuleType | None) -> Source:
    """Read a source. For a module that is imported already, return what was read the first time.

    A file that was edited since does not change what the module does in this process.
    """
    if module is None:
        return Source(path, _read(path))
    known = _sources.get(module)
    if known is None or known[0] is not module.__spec__:
        known = (module.__spec__, Source(path, _read(path)))
        _sources[module] = known
    return known[1]


def _read(path: Path) -> str:
    # Line ends differ between checkouts.
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error


def imports_of(sources: Mapping[str, Source], module: str) -> set[str]:
    """Return the qualified names that the sources import."""
    return {name for source in sources.values() for name in _imports(source.text, module)}


def _imports(text: str, package: str) -> Iterator[str]:
    """Yield the qualified names that a source imports, also inside functions."""
    for node in ast.walk(parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _local_source(name: str, own_package: str) -> Path | None:
    """Return the source file of a module if it is local, without importing anything."""
    top, *rest = name.split(".")
    if (
        not top
        or top in OWN_PACKAGES
        or top in sys.stdlib_module_names
        or top in sys.builtin_module_names
    ):
        return None
    if top != own_package and package_version(top) is not None:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        locations = list(spec.submodule_search_locations)
        spec = importlib.machinery.PathFinder.find_spec(part, locations)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    # Installed packages count with their version.
    return None if INSTALLATION_FOLDERS.intersection(path.parts) else path


def imported_packages(sources: Mapping[str, Source], module: str) -> Iterable[str]:
    """Return the installed packages that the sources import, and cvat_sdk."""
    tops = {name.partition(".")[0] for name in (*imports_of(sources, module), module)}
    tops = {"cvat_sdk", *tops} - OWN_PACKAGES
    return sorted(top for top in tops if top and package_version(top) is not None)
