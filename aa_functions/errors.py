"""Errors of this package that a person can act on: one sentence that says what to do."""

from __future__ import annotations


class FunctionError(Exception):
    """Base: the text is a sentence that stands by itself."""


class FunctionReferenceError(FunctionError):
    """A function could not be found, created, or used as a detection function."""


class WeightsNotFoundError(FunctionError):
    """There is no such weights file; the text says where it was looked for and where to put it."""


class YoloOptionError(FunctionError):
    """An option of a YOLO function cannot be used; the text names it and says what can be."""


class YoloNotInstalledError(FunctionError, ImportError):
    """Ultralytics, torch or torchvision cannot be imported."""


def describe(error: BaseException) -> str:
    """The error as part of a sentence: its text, after its type if the text needs it."""
    text = str(error).strip().rstrip(".")
    if isinstance(error, FunctionError):
        return text
    name = type(error).__name__
    return f"{name}: {text}" if text else name
