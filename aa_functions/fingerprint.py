"""A function's fingerprint: the same wherever the function would give the same results.

It is the SHA-256 of the sources, parameters, files and library versions that decide what the
function detects. Paths, devices, processes and the order of parameters do not enter.

A function may say itself what decides its results, with a method (or module-level function)

    fingerprint_inputs() -> Mapping[str, Any]

Its values replace the parameters of the reference. A `pathlib.Path` stands for the content of that
file (weights, a label list); any other value must be JSON. The key `packages` holds the import
names of the libraries that matter, in place of those that the source imports. A function without
it is described by its parameters as given, where text that names a file stands for its content.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from aa_functions.errors import describe

VERSION = 1
OUR_PACKAGE = __name__.partition(".")[0]
INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


class FingerprintError(Exception):
    """What a function gave as its fingerprint's inputs cannot be used."""


def fingerprint(module: ModuleType, function: Any, parameters: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal digits.

    Args:
        module: Where the function or its `create` comes from.
        function: The function itself, which may have `fingerprint_inputs`.
        parameters: Of `create`.

    Raises:
        FingerprintError: if a value is not JSON, a file cannot be read, or the function cannot say.
    """
    sources = _sources(module)
    inputs = getattr(function, "fingerprint_inputs", None)
    try:
        own = dict(inputs()) if callable(inputs) else None
    except Exception as error:
        raise FingerprintError(f"its 'fingerprint_inputs' failed ({describe(error)}).") from error
    packages = own.pop("packages", None) if own is not None else None
    if packages is None:
        packages = _imported_packages(sources, module.__name__)
    content = {
        "version": VERSION,
        "sources": {name: _digest_of_text(text) for name, text in sources.items()},
        "inputs": (
            {name: _content_of_named_file(value) for name, value in parameters.items()}
            if own is None
            else {name: _content_of_path(value) for name, value in own.items()}
        ),
        "packages": {name: package_version(name) for name in packages},
    }
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FingerprintError(f"the inputs must be JSON values or paths ({error}).") from error
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, remembered while its size and time do not change.

    Raises:
        FingerprintError: if it cannot be read.
    """
    try:
        state = path.stat()
        key = (str(path.resolve()), state.st_size, state.st_mtime_ns)
        with _digests_lock:
            known = _digests.get(key)
        if known is None:
            with path.open("rb") as opened:
                known = hashlib.file_digest(opened, "sha256").hexdigest()
            with _digests_lock:
                _digests[key] = known
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error
    return known


_digests: dict[tuple[str, int, int], str] = {}
_digests_lock = threading.Lock()


@cache
def package_version(name: str) -> str | None:
    """Version of the installed package with that import name, None if there is none.

    The local part is left out: `2.13.0+cpu` and `2.13.0+cu128` are one version.
    """
    distribution = name.replace("_", "-")
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        found = _distributions().get(name)
        if not found:
            return None
        version = importlib.metadata.version(sorted(found)[0])
    return version.partition("+")[0]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _content_of_path(value: Any) -> Any:
    return {"sha256": file_digest(value)} if isinstance(value, Path) else value


def _content_of_named_file(value: Any) -> Any:
    if isinstance(value, Path):
        return {"sha256": file_digest(value)}
    # Plain words are not looked for as files: whether there is one depends on the current folder.
    if isinstance(value, str) and ("/" in value or "\\" in value) and Path(value).is_file():
        return {"sha256": file_digest(Path(value))}
    return value


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(module: ModuleType) -> dict[str, str]:
    """Source of the module and, followed further, of what it imports that is not installed.

    The module itself is named `function`, so that a file may have any name and lie anywhere.
    """
    if module.__file__ is None:
        raise FingerprintError(f"the module '{module.__name__}' has no source.")
    package = (module.__package__ or "").partition(".")[0]
    text = _read(Path(module.__file__))
    found = {"function": text}
    waiting = list(_imports(text, module.__package__ or ""))
    while waiting:
        name = waiting.pop()
        path = _local_source(name, package)
        if path is None or name in found or name == module.__name__:
            continue
        found[name] = _read(path)
        is_package = path.name == "__init__.py"
        waiting += _imports(found[name], name if is_package else name.rpartition(".")[0])
    return found


def _read(path: Path) -> str:
    # A checkout may end its lines in its own way.
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error


def _imports(text: str, package: str) -> Iterator[str]:
    """Qualified names of what the source imports, the imports inside functions included."""
    for node in ast.walk(ast.parse(text)):
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
    """The module's source file, if it is local; found without importing anything."""
    top, *rest = name.split(".")
    if not top or top in sys.stdlib_module_names or top in sys.builtin_module_names:
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
    # An installed package is told by its version; only ours is read wherever it lies.
    installed = INSTALLED_FOLDERS.intersection(path.parts) and top != OUR_PACKAGE
    return None if installed else path


def _imported_packages(sources: Mapping[str, str], module: str) -> Iterable[str]:
    imported = (name for text in sources.values() for name in _imports(text, module))
    tops = {name.partition(".")[0] for name in (*imported, module)}
    return sorted(top for top in tops if top and package_version(top) is not None)
