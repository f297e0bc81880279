"""List the installed functions: what they annotate, with which weights, on which device."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from aa_functions.errors import FunctionReferenceError, WeightsNotFoundError
from aa_functions.installed import installed_functions
from aa_functions.loading import import_module
from aa_functions.reference import FunctionReference, load_function
from aa_functions.weights import is_first_use_download, no_downloads
from cvat_flows.tasks.model.labels import labels_of_spec

MAX_LABELS = 8
"""Labels that are named."""


@frozen(kw_only=True)
class InstalledFunction:
    """What is known of a function without downloading anything."""

    name: str
    module: str
    kinds: tuple[str, ...] = ()
    """Types of its labels, such as `rectangle`."""
    labels: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    """Paths of files that decide its results."""
    device: str = ""
    needs: Mapping[str, str] = field(factory=dict)
    """Parameters that it must be given, with their types."""
    missing: str = ""
    """Which weights are not there, and how they get there."""
    is_downloaded: bool = False
    """Whether missing weights are downloaded on first use."""
    problem: str = ""
    """Why it cannot be used now."""


def list_functions(announce: Callable[[str], None]) -> list[InstalledFunction]:
    """Load every installed function that needs no parameters, and return what it says of itself.

    Nothing is downloaded.
    """
    found = []
    for name, module in installed_functions().items():
        announce(f"looking at {name} ...")
        with no_downloads():
            function = describe_function(name, module)
        is_downloaded = bool(function.missing) and is_first_use_download()
        found.append(evolve(function, is_downloaded=is_downloaded))
    return found


def describe_function(name: str, module: str) -> InstalledFunction:
    """Load a function and return what it says of itself."""
    try:
        needs = _needed_parameters(module)
        if needs:
            return InstalledFunction(name=name, module=module, needs=needs)
        function = load_function(FunctionReference(module=module)).function
    except FunctionReferenceError as error:
        if isinstance(error.__cause__, WeightsNotFoundError):
            return InstalledFunction(name=name, module=module, missing=str(error.__cause__))
        return InstalledFunction(name=name, module=module, problem=str(error))
    labels = labels_of_spec(function.spec)
    return InstalledFunction(
        name=name,
        module=module,
        kinds=tuple(dict.fromkeys(label.type for label in labels)),
        labels=tuple(label.name for label in labels),
        weights=_files_of(function),
        device=str(getattr(function, "device", "") or ""),
    )


def _needed_parameters(module: str) -> dict[str, str]:
    create = getattr(import_module(module), "create", None)
    if create is None:
        return {}
    return {
        parameter.name: str(parameter.annotation).replace("<class '", "").replace("'>", "")
        for parameter in inspect.signature(create).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def _files_of(function: Any) -> tuple[str, ...]:
    inputs = getattr(function, "fingerprint_inputs", None)
    values = inputs().values() if callable(inputs) else ()
    return tuple(str(value) for value in values if isinstance(value, Path))
