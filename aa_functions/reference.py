"""Name an AA function and load it, as `cvat-cli task auto-annotate` does.

A reference is a module name or the path of a Python file, with parameters. If the module has
`create`, the function is what `create(**parameters)` returns. Otherwise the module is the function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from attrs import field, frozen
from cvat_sdk.auto_annotation import DetectionFunctionSpec

from aa_functions.errors import FunctionReferenceError, describe, text_of
from aa_functions.fingerprint import fingerprint
from aa_functions.identity import declared_name, name_of_file, name_of_object
from aa_functions.inputs.digest import FingerprintError
from aa_functions.inputs.opened_files import FileObserver
from aa_functions.inputs.sources import is_own, sources_of
from aa_functions.inputs.watched import UnknownInputs, Watched, WatchedFunction, WatchedFunctions
from aa_functions.installed import full_name, short_name
from aa_functions.loading import call_create, import_file, import_module
from aa_functions.user_code import contained

__all__ = [
    "FunctionReference",
    "FunctionReferenceError",
    "LoadedFunction",
    "load_function",
    "wrap_function",
]


IMAGE = "image"
"""Value of `results_depend_on`."""


def _path_or_none(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


@frozen(kw_only=True)
class FunctionReference:
    """Where to find an AA function, and the parameters to create it with.

    Args:
        module: Qualified name, such as `aa_functions.yolov8n`.
        file: Path of a Python source file. Either `module` or `file` must be given.
        parameters: Keyword arguments for the module's `create`.
        function_name: What records call the function, in place of its own name.

    Raises:
        FunctionReferenceError: if both `module` and `file` are given, or neither.

    >>> reference = FunctionReference(module="aa_functions.yolo", parameters={"imgsz": 640})
    >>> str(reference)
    "module 'aa_functions.yolo'"
    """

    module: str | None = None
    file: Path | None = field(default=None, converter=_path_or_none)
    parameters: Mapping[str, Any] = field(factory=dict, converter=dict, hash=False)
    function_name: str | None = None

    def __attrs_post_init__(self) -> None:
        if bool(self.module) == (self.file is not None):
            raise FunctionReferenceError(
                "A function is named by a module or by a file; "
                + ("both are given." if self.module else "neither is given.")
            )

    @classmethod
    def named(
        cls,
        name: str,
        parameters: Mapping[str, Any] = MappingProxyType({}),
        *,
        function_name: str | None = None,
    ) -> FunctionReference:
        """Return the reference for a name: a file if it ends in `.py`, else a module.

        Args:
            name: Short name of an installed function, name of a module, or path of a file.
            parameters: Keyword arguments for the module's `create`.
            function_name: What records call the function, in place of its own name.

        Raises:
            FunctionReferenceError: if `name` is an installed function and another module, too.

        >>> FunctionReference.named("shapes").module
        'aa_functions.shapes'
        >>> FunctionReference.named("my/detector.py").file.name
        'detector.py'
        """
        if name.endswith(".py"):
            return cls(file=Path(name), parameters=parameters, function_name=function_name)
        return cls(module=full_name(name), parameters=parameters, function_name=function_name)

    def __str__(self) -> str:
        return f"module '{self.module}'" if self.module else f"file '{self.file}'"


@frozen(kw_only=True)
class LoadedFunction:
    """An AA function that has a valid `spec` and a callable `detect`.

    >>> loaded = load_function("aa_functions.shapes")
    >>> loaded.title, loaded.name, len(loaded.fingerprint)
    ('shapes', 'aa_functions.shapes', 64)
    """

    function: Any
    """Has `spec` and `detect(context, image)`; may have `detect_batch(contexts, images)`."""
    reference: FunctionReference | None
    """Where it was loaded from; None for a live object."""
    fingerprint: str | None
    """64 hexadecimal digits, equal for functions that give equal results; None if unknown."""
    unknown: str = ""
    """Why there is no fingerprint, as a sentence without a subject."""
    watched: Watched | None = field(default=None, eq=False, repr=False)
    """What the function reads, if it does not state its inputs."""
    title: str
    """Short name for people, such as `yolov8n`."""
    name: str
    """What records call the function, the same for all its versions and parameters: the name that
    the caller gives it, else its attribute `function_name`, else the name of its module, else that
    of its file with a hash of the path, such as `cars.py@104413cf`."""
    image_only: bool = False
    """The results depend on the image, `conf_threshold` and `conv_mask_to_poly` only, not on the
    name of the frame. The function declares it with `results_depend_on = "image"`."""
    needs_annotations: bool = False
    """The function gets what is on the frame already, as `context.annotations`. It declares it with
    `needs_annotations = True`."""

    @property
    def label(self) -> str:
        """The short name, and the title if that tells more: `shapes`, `yolo (best)`."""
        name = short_name(self.name)
        return name if self.title in name else f"{name} ({self.title})"


def load_function(
    function: FunctionReference | str, parameters: Mapping[str, Any] = MappingProxyType({})
) -> LoadedFunction:
    """Import a function, create it and check that it is a detection function.

    Args:
        function: A reference, the short name of an installed function (`yolo`), the name of a
            module (`aa_functions.yolo`), or the path of a Python file (`my.py`).
        parameters: Keyword arguments for the module's `create`, if `function` is a text.

    Returns:
        The function with its fingerprint, title and name.

    Raises:
        FunctionReferenceError: if the function cannot be found or created, or is not a detection
            function.
        TypeError: if `parameters` are given beside a `FunctionReference`.

    >>> stars = load_function("aa_functions.yolo", {"model": "shapes-yolov8n", "classes": "star"})
    >>> [label.name for label in stars.function.spec.labels]
    ['star']
    """
    if isinstance(function, str):
        reference = FunctionReference.named(function, parameters)
    elif parameters:
        raise TypeError("a FunctionReference has its own parameters: put them there")
    else:
        reference = function
    observer = FileObserver()
    with observer.observing():
        if reference.module:
            module = import_module(reference.module)
        else:
            assert reference.file is not None
            module = import_file(reference.file)

        observer.sources = frozenset([str(module.__file__)])
        created: Any = module
        if hasattr(module, "create"):
            created = call_create(module.create, reference.parameters, str(reference))
        elif reference.parameters:
            names = ", ".join(map(repr, reference.parameters))
            raise FunctionReferenceError(
                f"The {reference} takes no parameters (it has no 'create'), but got {names}."
            )
        check_function(created, f"The function of {reference}")
    return LoadedFunction(
        function=created,
        reference=reference,
        title=_title(created, reference),
        image_only=_is_image_only(created, f"The function of {reference}"),
        needs_annotations=_needs_annotations(created, f"The function of {reference}"),
        name=_name(created, reference),
        **_identify(module, created, reference.parameters, observer, f"The {reference}"),
    )


def wrap_function(function: Any) -> LoadedFunction:
    """Check a live object and wrap it like a loaded function.

    Args:
        function: An object or a module with `spec` and `detect`.

    Returns:
        The function. It has a fingerprint only if it is a module with a source file: what another
        object was created from is unknown.

    Raises:
        FunctionReferenceError: if it has no valid `spec` or no callable `detect`.

    >>> from aa_functions import shapes
    >>> wrap_function(shapes).title
    'shapes'
    """
    is_module = isinstance(function, ModuleType)
    has_source = is_module and getattr(function, "__file__", None) is not None
    name = function.__name__ if is_module else type(function).__name__
    check_function(function, f"The function '{name}'")
    identity: dict[str, Any] = {"fingerprint": None, "unknown": "it is a live object"}
    if has_source:
        identity = _identify(function, function, {}, FileObserver(), f"The module '{name}'")
    return LoadedFunction(
        function=function,
        reference=None,
        title=_own_title(function) or name.rpartition(".")[2],
        image_only=_is_image_only(function, f"The function '{name}'"),
        needs_annotations=_needs_annotations(function, f"The function '{name}'"),
        name=declared_name(function) or name_of_object(function),
        **identity,
    )


def _identify(
    module: ModuleType,
    function: Any,
    parameters: Mapping[str, Any],
    observer: FileObserver,
    subject: str,
) -> dict[str, Any]:
    """Return the fields of LoadedFunction that tell which function it is."""
    parts: Sequence[LoadedFunction] = getattr(function, "wrapped_functions", ())
    watched: list[Watched] = [part.watched for part in parts if part.watched is not None]
    files: Sequence[tuple[str, str]] = ()
    try:
        for part in parts:
            if part.fingerprint is None:
                raise UnknownInputs(f"it calls {part.title!r}, which has none: {part.unknown}")
        if not callable(getattr(function, "fingerprint_inputs", None)) and not is_own(module):
            own = WatchedFunction(module, function, parameters, sources_of(module), observer)
            watched.append(own)
            files = own.files
        return {
            "fingerprint": fingerprint(module, function, parameters, files),
            "watched": _together(watched),
        }
    except UnknownInputs as error:
        return {"fingerprint": None, "unknown": str(error)}
    except FingerprintError as error:
        raise FunctionReferenceError(f"{subject} has no fingerprint: {error}") from error


def _together(watched: Sequence[Watched]) -> Watched | None:
    if len(watched) < 2:
        return watched[0] if watched else None
    return WatchedFunctions(watched)


def check_function(function: Any, subject: str) -> None:
    """Check that a function has a `spec` and a callable `detect`.

    Args:
        function: An object or a module.
        subject: What the text of an error begins with, such as "The function 'Cars'".

    Raises:
        FunctionReferenceError: if it is not a detection function.
    """
    try:
        with contained():
            spec = function.spec
    except AttributeError as error:
        if error.name not in (None, "spec"):
            raise FunctionReferenceError(
                f"{subject} has a 'spec' that fails: {text_of(error)}."
            ) from error
        raise FunctionReferenceError(
            f"{subject} has no 'spec': it must be a DetectionFunctionSpec with its labels."
        ) from error
    except Exception as error:
        raise FunctionReferenceError(
            f"{subject} has a 'spec' that fails: {describe(error)}."
        ) from error
    if not isinstance(spec, DetectionFunctionSpec):
        kind = "a method" if callable(spec) else f"of type {type(spec).__name__}"
        raise FunctionReferenceError(
            f"{subject} has a 'spec' that is {kind}, but it must be a DetectionFunctionSpec."
        )
    detect = getattr(function, "detect", None)
    if detect is None:
        raise FunctionReferenceError(
            f"{subject} has no 'detect': it must be a method that takes context and image."
        )
    if not callable(detect):
        raise FunctionReferenceError(
            f"{subject} has a 'detect' of type {type(detect).__name__} that cannot be called."
        )


def _name(function: Any, reference: FunctionReference) -> str:
    given = reference.function_name or declared_name(function) or reference.module
    if given:
        return given
    assert reference.file is not None
    return name_of_file(reference.file)


def _is_image_only(function: Any, subject: str) -> bool:
    declared = getattr(function, "results_depend_on", None)
    if declared not in (None, IMAGE):
        raise FunctionReferenceError(
            f"{subject} has 'results_depend_on' = {declared!r}: it must be {IMAGE!r} or absent."
        )
    return declared == IMAGE


def _needs_annotations(function: Any, subject: str) -> bool:
    declared = getattr(function, "needs_annotations", False)
    if not isinstance(declared, bool):
        raise FunctionReferenceError(
            f"{subject} has 'needs_annotations' = {declared!r}: it must be True or absent."
        )
    return declared


def _title(function: Any, reference: FunctionReference) -> str:
    if own_title := _own_title(function):
        return own_title
    if reference.module:
        return reference.module.rpartition(".")[2]
    return reference.file.stem if reference.file else "function"


def _own_title(function: Any) -> str | None:
    title = None if isinstance(function, ModuleType) else getattr(function, "title", None)
    return title if isinstance(title, str) and title else None
