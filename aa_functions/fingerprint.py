"""Fingerprints of functions: equal if the functions give the same results on any machine.

A fingerprint is the SHA-256 of everything that decides what the function detects: the sources of
the function, its parameters, files and the versions of libraries. Paths, devices, processes and the
order of parameters do not count.

The version and the sources of cvat-flows itself do not count either. Otherwise each release would
make all cached detections useless. What `aa_functions` exports to authors comes from cvat_sdk,
whose version always counts. A function of this package states the version of its results in
`fingerprint_inputs` (`RESULTS_VERSION` of `aa_functions.yolo`).

A function may state its inputs with a method, or a module-level function,

    fingerprint_inputs() -> Mapping[str, Any]

Its values replace the parameters of the reference. A `pathlib.Path` counts with the content of the
file, for example of weights or a label list. Any other value must be JSON. The key `packages` lists
import names of libraries whose versions count; by default they are those that the source imports.

Without that method the parameters count as given. A text that names a file counts with the file's
content.
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
from aa_functions.user_code import contained

VERSION = 2
OWN_PACKAGES = frozenset({"aa_functions", "cvat_flows"})
INSTALLATION_FOLDERS = frozenset({"site-packages", "dist-packages"})


class FingerprintError(Exception):
    """A fingerprint cannot be computed. The text says why."""


def fingerprint(module: ModuleType, function: Any, parameters: Mapping[str, Any]) -> str:
    """Return the fingerprint of a function as 64 hexadecimal digits.

    Args:
        module: The module that is the function, or whose `create` returned it.
        function: The function, which may have `fingerprint_inputs`.
        parameters: Keyword arguments that `create` was called with.

    Raises:
        FingerprintError: if a value is not JSON, a file cannot be read, or `fingerprint_inputs`
            fails.
    """
    is_own = module.__name__.partition(".")[0] in OWN_PACKAGES
    sources = {} if is_own else _sources(module)
    inputs = getattr(function, "fingerprint_inputs", None)
    try:
        with contained():
            stated = dict(inputs()) if callable(inputs) else None
    except Exception as error:
        raise FingerprintError(f"its 'fingerprint_inputs' failed ({describe(error)}).") from error
    if is_own and stated is None:
        raise FingerprintError("it must state its inputs in 'fingerprint_inputs'.")
    packages = stated.pop("packages", None) if stated is not None else None
    if packages is None:
        packages = _imported_packages(sources, module.__name__)
    content = {
        "version": VERSION,
        "sources": {name: _text_digest(text) for name, text in sources.items()},
        "inputs": (
            {name: _parameter_content(value) for name, value in parameters.items()}
            if stated is None
            else {name: _stated_content(value) for name, value in stated.items()}
        ),
        "packages": {name: package_version(name) for name in packages},
    }
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FingerprintError(f"the inputs must be JSON values or paths ({error}).") from error
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; remember it until size or time of the file change.

    Raises:
        FingerprintError: if the file cannot be read.
    """
    try:
        state = path.stat()
        key = (str(path.resolve()), state.st_size, state.st_mtime_ns)
        with _digests_lock:
            digest = _digests.get(key)
        if digest is None:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            with _digests_lock:
                _digests[key] = digest
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error
    return digest


_digests: dict[tuple[str, int, int], str] = {}
_digests_lock = threading.Lock()


@cache
def package_version(name: str) -> str | None:
    """Return the version of the installed package with this import name, or None.

    The local part is left out: `2.13.0+cpu` and `2.13.0+cu128` are the same version.
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


def _stated_content(value: Any) -> Any:
    return {"sha256": file_digest(value)} if isinstance(value, Path) else value


def _parameter_content(value: Any) -> Any:
    # A plain word may be the name of a file or, by coincidence, something else: both count. A path
    # is a file for sure, and where it lies does not matter.
    if isinstance(value, str) and _is_file(value):
        is_path = "/" in value or "\\" in value
        return {"sha256": file_digest(Path(value)), "word": None if is_path else value}
    return _stated_content(value)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a null character
        return False


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(module: ModuleType) -> dict[str, str]:
    """Return the sources of a module and of the local modules that it imports, directly or not.

    The module itself is called `function`, so that the name and place of its file do not count.
    """
    if module.__file__ is None:
        raise FingerprintError(f"the module '{module.__name__}' has no source.")
    package = (module.__package__ or "").partition(".")[0]
    text = _read(Path(module.__file__))
    found = {"function": text}
    pending = list(_imports(text, module.__package__ or ""))
    while pending:
        name = pending.pop()
        path = _local_source(name, package)
        if path is None or name in found or name == module.__name__:
            continue
        found[name] = _read(path)
        is_package = path.name == "__init__.py"
        pending += _imports(found[name], name if is_package else name.rpartition(".")[0])
    return found


def _read(path: Path) -> str:
    # Line ends differ between checkouts.
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error


def _imports(text: str, package: str) -> Iterator[str]:
    """Yield the qualified names that a source imports, also inside functions."""
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


def _imported_packages(sources: Mapping[str, str], module: str) -> Iterable[str]:
    imported = (name for text in sources.values() for name in _imports(text, module))
    tops = {name.partition(".")[0] for name in (*imported, module)}
    tops = {"cvat_sdk", *tops} - OWN_PACKAGES
    return sorted(top for top in tops if top and package_version(top) is not None)
