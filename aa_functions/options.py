"""Checks of options that several functions have."""

from __future__ import annotations

from aa_functions.errors import FunctionError


def check_shares(error: type[FunctionError], **options: float | None) -> None:
    """Check options from 0 to 1; None is a value that is not given.

    >>> from aa_functions.errors import YoloOptionError
    >>> try:
    ...     check_shares(YoloOptionError, conf=0.5, iou=70)
    ... except YoloOptionError as error:
    ...     print(error)
    The option iou is 70, but must be from 0 to 1.
    """
    for name, value in options.items():
        if value is not None and not 0 <= value <= 1:
            raise error(f"The option {name} is {value}, but must be from 0 to 1.")


def check_counts(error: type[FunctionError], **options: int | None) -> None:
    """Check options that are at least 1; None is a value that is not given."""
    for name, value in options.items():
        if value is not None and value < 1:
            raise error(f"The option {name} is {value}, but must be at least 1.")
