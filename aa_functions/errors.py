"""Errors that a user can act on: one sentence that says what is wrong and what to do."""

from __future__ import annotations


class FunctionError(Exception):
    """Base class. The text is a complete sentence."""


class FunctionReferenceError(FunctionError):
    """A function could not be found, created, or used as a detection function.

    >>> from aa_functions import load_function
    >>> try:
    ...     load_function("aa_functions.shapes", {"imgsz": 640})
    ... except FunctionReferenceError as error:
    ...     print(error)
    The module 'aa_functions.shapes' takes no parameters (it has no 'create'), but got 'imgsz'.
    """


class PictureError(FunctionError):
    """A picture cannot be converted to 8 bits a channel. The text says what to do with it."""


class WeightsNotFoundError(FunctionError):
    """There is no such weights file. The text says where it was searched and where to put it."""


class YoloOptionError(FunctionError):
    """An option of a YOLO function has an unusable value. The text lists usable values."""


class NuclioError(FunctionError):
    """A function behind a URL cannot be used: its spec, its URL or what it answers is wrong."""


class WrapperOptionError(FunctionError):
    """An option of a function made of other functions has an unusable value."""


class TransformersError(FunctionError):
    """A model of Transformers, or an option for it, cannot be used."""


class UnsafeFolderError(FunctionError):
    """A folder that is about to be used belongs to another user, or is a link."""


class YoloNotInstalledError(FunctionError, ImportError):
    """Ultralytics, torch or torchvision cannot be imported."""


def text_of(error: BaseException) -> str:
    """Return the error's text. Never raises: `str(error)` is code of whoever wrote the class."""
    try:
        return storable(str(error))
    except BaseException:
        return ""


def storable(text: str) -> str:
    """Replace lone surrogates, which no file and no server accepts."""
    return text.encode("utf-8", "replace").decode()


def describe(error: BaseException) -> str:
    """Return the error's text for use inside a sentence, with its type if it needs one."""
    text = text_of(error).strip().rstrip(".")
    if isinstance(error, FunctionError):
        return text
    name = type(error).__name__
    return f"{name}: {text}" if text else name
