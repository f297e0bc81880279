"""Keep a run's log for people.

Prefect writes a line for every task run that ends well, five a second and more in a fast run, and
two or three with a traceback of its own engine for one that fails. What is left here is one line
for each task run that failed.
"""

from __future__ import annotations

import logging

from cvat_flows.tasks.model.errors import CvatFlowsError

_FLOWS = frozenset({"annotate-task", "detect-jobs"})


class _ForPeople(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "flow_name", None) not in _FLOWS:
            return True
        text = str(record.msg)
        if record.levelno <= logging.INFO and text.startswith("Finished in state Completed"):
            return False
        if not text.startswith("Task run failed with"):
            return True
        # The line "Finished in state Failed" has the sentence of an error of ours, and if another
        # attempt at a frame helps there is nothing to tell.
        error = record.exc_info[1] if record.exc_info else None
        told = isinstance(error, CvatFlowsError) or text.startswith("Task run failed with state")
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not (told or "state" in arguments[:1])


_FILTER = _ForPeople()


def keep_log_for_people() -> None:
    """Leave out of the logs of annotating what nobody reads; other flows' logs stay as they are."""
    logging.getLogger("prefect.task_runs").addFilter(_FILTER)
