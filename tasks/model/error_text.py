"""Put errors, also those of user code, into text."""

from __future__ import annotations

import traceback

from aa_functions.errors import text_of
from cvat_flows.tasks.model.text import clean, on_one_line


def error_text(error: BaseException, max_length: int | None = None) -> str:
    """Return an error's text on one line, with the name of its type. Never raises."""
    text = text_of(error)
    if max_length is not None:  # reading a text of megabytes takes seconds
        text = on_one_line(text[: 10 * max_length], max_length)
    name = type(error).__name__
    return f"{name}: {on_one_line(text)}" if text else name


def traceback_text(error: BaseException) -> str:
    """Return an error's traceback, or "" if an error of its chain cannot be shown. Never raises."""
    try:
        return clean("".join(traceback.format_exception(error)))
    except BaseException:
        return ""
