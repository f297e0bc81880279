"""Clean log lines before they are stored or shown."""

from __future__ import annotations

import logging

from cvat_flows.tasks.model.text import clean


class CleanFilter(logging.Filter):
    """Masks credentials in log lines and tracebacks, and replaces control characters in them.

    Handlers and loggers pass each record through it. Add it after filters that look at a record's
    arguments.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # wrong arguments: logging itself reports that
            return True
        record.msg, record.args = clean(message), None
        if record.exc_info and record.exc_info[0] is not None:
            # Formatters use this text if there is one. Another handler may have set it.
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = clean(text)
        return True
