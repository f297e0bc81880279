"""Import the module of an AA function and call its `create`, with errors that users understand."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from aa_functions.errors import FunctionReferenceError, describe
from aa_functions.identity import LOADED_FROM_FILE
from aa_functions.installed import installed_functions
from aa_functions.user_code import contained

YOLO_PACKAGES = {"torch", "torchvision", "ultralytics"}
"""Packages of the extra `yolo` whose absence has no other likely reason."""
SDK_FUNCTIONS = "cvat_sdk.auto_annotation.functions."
SDK_FUNCTION_PACKAGES = {"skimage", "torch", "torchvision"}


def import_module(name: str) -> ModuleType:
    """Import a module by its qualified name.

    Raises:
        FunctionReferenceError: if there is no such module, or importing it fails.
    """
    if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
        raise FunctionReferenceError(f"'{name}' is not a module name" + _file_hint(name) + ".")
    if name.startswith(SDK_FUNCTIONS):
        _make_torchvision_importable()
    try:
        with contained():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise FunctionReferenceError(
                f"There is no module '{name}'" + _module_hint(name, missing) + "."
            ) from error
        raise _import_failed(f"module '{name}'", error) from error
    except Exception as error:
        raise _import_failed(f"module '{name}'", error) from error


def import_file(path: Path) -> ModuleType:
    """Execute a Python source file as a separate module.

    Raises:
        FunctionReferenceError: if there is no such file, or executing it fails.
    """
    if not path.exists():
        names = [entry.name for entry in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise FunctionReferenceError(
            f"There is no file '{path}' (looked in '{path.parent.resolve()}')"
            + _nearest(path.name, names)
            + "."
        )
    if not path.is_file() or path.suffix != ".py":
        raise FunctionReferenceError(f"'{path}' is not a Python source file (*.py).")
    # Dataclasses and pickle look their module up in sys.modules. The digest in the name keeps files
    # with the same name apart.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"{LOADED_FROM_FILE}{digest}__", path)
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    module = importlib.util.module_from_spec(spec)
    previous = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        with contained():
            # Not from a `.pyc` file: an edit within a second could be missed.
            content = spec.loader.get_data(str(path))
            exec(spec.loader.source_to_code(content, str(path)), module.__dict__)
    except Exception as error:
        if previous is None:
            del sys.modules[spec.name]
        else:
            sys.modules[spec.name] = previous
        raise _import_failed(f"file '{path}'", error) from error
    return module


def call_create(create: Any, parameters: Mapping[str, Any], subject: str) -> Any:
    """Return `create(**parameters)`.

    Args:
        create: The `create` of a module.
        parameters: Keyword arguments.
        subject: The module or file, for the texts of errors.

    Raises:
        FunctionReferenceError: if the parameters do not fit the signature, or `create` fails.
    """
    if not callable(create):
        raise FunctionReferenceError(
            f"The 'create' of {subject} is of type {type(create).__name__} and cannot be called."
        )
    _check_parameters(create, parameters, subject)
    try:
        with contained():
            return create(**parameters)
    except Exception as error:
        raise FunctionReferenceError(
            f"The 'create' of {subject} failed: {describe(error)}."
        ) from error


def _check_parameters(
    create: Callable[..., Any], parameters: Mapping[str, Any], subject: str
) -> None:
    try:
        signature = inspect.signature(create)
    except (TypeError, ValueError):
        return  # some built-in callables have no signature
    try:
        signature.bind(**parameters)
    except TypeError as error:
        known = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        unknown = [name for name in parameters if name not in known]
        hint = _nearest(unknown[0], set(known).difference(parameters)) if unknown else ""
        takes = f"it takes {', '.join(known)}" if known else "it takes no parameters"
        raise FunctionReferenceError(
            f"The parameters do not fit the 'create' of {subject}: {error}{hint}; {takes}."
        ) from error


def _import_failed(subject: str, error: BaseException) -> FunctionReferenceError:
    if isinstance(error, SyntaxError):
        where = f"line {error.lineno} of {Path(error.filename or '?').name}"
        return FunctionReferenceError(f"The {subject} has a syntax error in {where}: {error.msg}.")
    advice = ""
    if isinstance(error, ImportError):
        wanted = (error.name or "").partition(".")[0]
        if SDK_FUNCTIONS in subject and wanted in SDK_FUNCTION_PACKAGES:
            advice = f" (to install {wanted}: pip install 'cvat-flows[torchvision]')"
        # The functions that ship need OpenCV, too. A user's own may mean another build of it.
        elif wanted in YOLO_PACKAGES or (wanted and subject.startswith("module 'aa_functions.")):
            advice = f" (to install {wanted}: pip install 'cvat-flows[yolo]')"
    return FunctionReferenceError(f"The {subject} cannot be imported: {describe(error)}{advice}.")


def _make_torchvision_importable() -> None:
    """Prepare for the SDK's own functions, which need torchvision; see `declare_missing_nms`."""
    try:
        from aa_functions.backends.ultralytics_import import declare_missing_nms

        declare_missing_nms()
    except ImportError:
        pass  # importing the function reports what is missing


def _file_hint(name: str) -> str:
    if name.endswith(".py") or "/" in name or "\\" in name:
        return "; a path needs --function-file"
    return ""


def _module_hint(name: str, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    if not parent and Path(f"{last}.py").is_file():
        return f"; '{last}.py' in the current folder needs --function-file"
    if name != missing:
        return f": '{missing}' was not found" + _nearest(missing, _module_names(parent))
    return _nearest(missing, _module_names(parent))


def _module_names(parent: str) -> Iterable[str]:
    if not parent:
        return [*installed_functions(), *(found.name for found in pkgutil.iter_modules())]
    package = sys.modules.get(parent)
    paths = getattr(package, "__path__", [])
    return [f"{parent}.{found.name}" for found in pkgutil.iter_modules(paths)]


def _nearest(name: str, candidates: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(candidates), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
