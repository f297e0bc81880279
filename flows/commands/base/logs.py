"""`--log-level`: print the log of a run, which otherwise only the Prefect server gets."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

LEVELS = ("debug", "info", "warning", "error")


def given_level(words: Sequence[str]) -> str | None:
    """Return the level that a command line asks for; None if it asks for none.

    Prefect reads its settings when it is imported, which is before the options are parsed.

    >>> given_level(["annotate", "12", "--log-level", "info"]), given_level(["--log-level=debug"])
    ('info', 'debug')
    """
    found = None
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, _, value = word.partition("=")
        if name == "--log-level":
            found = value or following
    return found if found in LEVELS else None


def show_logs(level: str | None) -> None:
    """Print log records from this level on to the error output. Call it before Prefect's import."""
    if level is None:
        return
    from cvat_flows.tasks.model.log_filter import CleanFilter

    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = level.upper()
    os.environ["PREFECT_LOGGING_LEVEL"] = level.upper()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(CleanFilter())
    for name in ("cvat_flows", "aa_functions"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
