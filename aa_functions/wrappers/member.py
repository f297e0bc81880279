"""The functions that a wrapper calls: load them, call them in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import PIL.Image
from cvat_sdk.auto_annotation import BadFunctionError, DetectionFunctionContext

from aa_functions.errors import WrapperOptionError
from aa_functions.reference import (
    FunctionReference,
    LoadedFunction,
    load_function,
    wrap_function,
)


def load_member(function: Any, parameters: Mapping[str, Any] | str | None) -> LoadedFunction:
    """Load a function that is to be wrapped.

    Args:
        function: Name of a module, path of a `.py` file, or an object with `spec` and `detect`.
        parameters: For its `create`, also as JSON.

    Raises:
        FunctionReferenceError: if it cannot be loaded.
        WrapperOptionError: if the parameters cannot be read.
    """
    given = read_json(parameters, "parameters", Mapping) if parameters else {}
    if isinstance(function, str) and function:
        return load_function(FunctionReference.named(function, given))
    if not function:
        raise WrapperOptionError("The option function is empty: name a module or a .py file.")
    if given:
        raise WrapperOptionError(
            "The option parameters is for functions that are named: this one is a live object."
        )
    return wrap_function(function)


def check_number(
    name: str, value: Any, fits: Callable[[Any], bool], wanted: str, *, whole: bool = False
) -> None:
    """Check an option that is a number.

    Args:
        name: Name of the option.
        value: Its value.
        fits: Returns whether a number is in the range of the option.
        wanted: The range, for the error.
        whole: Only whole numbers are allowed.

    Raises:
        WrapperOptionError: if it is another type, or outside its range.
    """
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not fits(value):
        raise WrapperOptionError(f"The option {name} is {value!r}, but must be {wanted}.")


def read_json(value: Any, option: str, kind: type) -> Any:
    """Return the value of an option, which may be given as JSON. Raises WrapperOptionError."""
    wanted = "an object" if kind is Mapping else "a list"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise WrapperOptionError(
                f"The option {option} is not JSON ({error}): give {wanted}, for example "
                + (
                    """'{"model": "yolov8s.pt"}'."""
                    if kind is Mapping
                    else """'["a.py", "b.py"]'."""
                )
            ) from error
    if not isinstance(value, kind):
        raise WrapperOptionError(
            f"The option {option} is of type {type(value).__name__}: give {wanted}."
        )
    return value


def declared_dependence(members: Sequence[LoadedFunction]) -> str | None:
    """Return `results_depend_on` of what is made of these functions."""
    return "image" if all(member.image_only for member in members) else None


def takes_batches(member: LoadedFunction) -> bool:
    """Return whether the function has a `detect_batch`."""
    return callable(getattr(member.function, "detect_batch", None))


def call(
    member: LoadedFunction,
    contexts: Sequence[DetectionFunctionContext],
    images: Sequence[PIL.Image.Image],
) -> list[list[Any]]:
    """Return what a function finds on each image, by `detect_batch` if it has one."""
    if not images:
        return []
    if not takes_batches(member):
        detect: Callable[..., Any] = member.function.detect
        return [
            _listed(member, detect(context, image))
            for context, image in zip(contexts, images, strict=True)
        ]
    results = _listed(member, member.function.detect_batch(list(contexts), list(images)))
    if len(results) != len(images):
        raise BadFunctionError(
            f"detect_batch of {member.title!r} returned {len(results)} results for {len(images)} "
            "images; it must return one sequence of annotations for each image"
        )
    return [_listed(member, result) for result in results]


def _listed(member: LoadedFunction, returned: Any) -> list[Any]:
    try:
        return list(returned)
    except TypeError as error:
        if hasattr(returned, "__iter__"):
            raise  # by the function's own code
        raise BadFunctionError(
            f"the function {member.title!r} returned an object of type "
            f"{type(returned).__name__} instead of a list"
        ) from error
