"""The name of a function in records: the same for all its versions and parameters.

What was uploaded to CVAT is recorded by it, and `replace` deletes only what was uploaded under the
same name. So two functions must not have one name by accident.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

LOADED_FROM_FILE = "__cvat_function_"
"""Prefix of the names of modules that were loaded from a file."""


def name_of_file(path: Path) -> str:
    """Return the name of a function in a file: its file name, and a hash of its absolute path.

    Links are not resolved: a mounted or deployed file can be a link to its current version.

    >>> name_of_file(Path("/srv/functions/cars.py"))
    'cars.py@104413cf'
    """
    digest = hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogateescape"))
    return f"{path.name}@{digest.hexdigest()[:8]}"


def name_of_object(function: Any) -> str:
    """Return the name of a live function object.

    A module, or what the `create` of a module could have returned, has the name that it has when it
    is loaded by name. Any other object has the name of its class in its module.
    """
    if isinstance(function, ModuleType):
        return _name_of_module(function)
    kind = type(function)
    if kind is SimpleNamespace:
        kind = function.detect
    module = sys.modules.get(getattr(kind, "__module__", "") or "")
    if module is None:
        return str(getattr(kind, "__qualname__", type(function).__qualname__))
    name = _name_of_module(module)
    return name if hasattr(module, "create") else f"{name}:{kind.__qualname__}"


def named_alike(name: str, names: Iterable[str]) -> list[str]:
    """Return those of the names that have the same file name, with another hash or none.

    >>> named_alike("cars.py@104413cf", ["cars.py@11111111", "people.py@104413cf"])
    ['cars.py@11111111']
    >>> named_alike("cars.py", ["cars.py@11111111", "aa_functions.shapes"])
    ['cars.py@11111111']
    """
    file_name = name.partition("@")[0]
    return [one for one in names if one != name and one.partition("@")[0] == file_name]


def declared_name(function: Any) -> str | None:
    """Return the name that a function declares: its attribute `function_name`, a text."""
    name = getattr(function, "function_name", None)
    return name if isinstance(name, str) and name else None


def _name_of_module(module: ModuleType) -> str:
    spec = getattr(module, "__spec__", None)
    if module.__name__ == "__main__" and spec is not None:
        return str(spec.name)  # python -m
    file = getattr(module, "__file__", None)
    is_importable = (
        module.__name__ != "__main__"
        and not module.__name__.startswith(LOADED_FROM_FILE)
        and sys.modules.get(module.__name__) is module
    )
    return module.__name__ if is_importable or file is None else name_of_file(Path(file))
