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
content. So do the other files that the function reads or names (`aa_functions.inputs`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from aa_functions.errors import describe
from aa_functions.inputs.digest import FingerprintError, file_digest
from aa_functions.inputs.sources import imported_packages, is_own, package_version, sources_of
from aa_functions.user_code import contained

__all__ = ["FingerprintError", "file_digest", "fingerprint", "package_version"]

VERSION = 2


def fingerprint(
    module: ModuleType,
    function: Any,
    parameters: Mapping[str, Any],
    files: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the fingerprint of a function as 64 hexadecimal digits.

    Args:
        module: The module that is the function, or whose `create` returned it.
        function: The function, which may have `fingerprint_inputs`.
        parameters: Keyword arguments that `create` was called with.
        files: Names and digests of other files that the function reads.

    Raises:
        FingerprintError: if a value is not JSON, a file cannot be read, or `fingerprint_inputs`
            fails.
    """
    sources = {} if is_own(module) else sources_of(module)
    inputs = getattr(function, "fingerprint_inputs", None)
    try:
        with contained():
            stated = dict(inputs()) if callable(inputs) else None
    except Exception as error:
        raise FingerprintError(f"its 'fingerprint_inputs' failed ({describe(error)}).") from error
    if is_own(module) and stated is None:
        raise FingerprintError("it must state its inputs in 'fingerprint_inputs'.")
    packages = stated.pop("packages", None) if stated is not None else None
    if packages is None:
        packages = imported_packages(sources, module.__name__)
    content = {
        "version": VERSION,
        "sources": {name: _text_digest(source.text) for name, source in sources.items()},
        "inputs": (
            {name: _parameter_content(value) for name, value in parameters.items()}
            if stated is None
            else {name: _stated_content(value) for name, value in stated.items()}
        ),
        "packages": {name: package_version(name) for name in packages},
        **({"files": list(files)} if files else {}),
    }
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FingerprintError(f"the inputs must be JSON values or paths ({error}).") from error
    return hashlib.sha256(canonical.encode()).hexdigest()


def _stated_content(value: Any) -> Any:
    return {"sha256": file_digest(value)} if isinstance(value, Path) else value


def _parameter_content(value: Any) -> Any:
    # A plain word may be the name of a file or, by coincidence, something else: both count. A path
    # is a file for sure, and where it lies does not matter.
    if isinstance(value, str) and os.path.isfile(value):
        is_path = "/" in value or "\\" in value
        return {"sha256": file_digest(Path(value)), "word": None if is_path else value}
    return _stated_content(value)


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
