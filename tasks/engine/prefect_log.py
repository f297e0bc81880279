"""Keep credentials, and needless lines of Prefect's task engine, out of the run's log.

The engine writes a line for each task run that succeeds, and for each one that fails up to three
lines with a traceback of the engine itself. A filter leaves one line for each failed task run.

The filter recognizes the engine's lines by the file that wrote them, the level and the attached
exception. It does not look at their text, which changes between versions of Prefect.
"""

from __future__ import annotations

import logging

from prefect import task_engine
from prefect.settings import get_current_settings

from cvat_flows.tasks.model.credentials import remember_environment, remember_pair
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.log_filter import CleanFilter

_FLOWS = frozenset({"annotate-task", "detect-jobs"})


class _EngineFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        from_engine = record.pathname == task_engine.__file__
        if not from_engine or getattr(record, "flow_name", None) not in _FLOWS:
            return True
        if record.levelno == logging.INFO:
            # Success, or a retry. A retry after an exception is worth a line: CVAT is unavailable.
            arguments = record.args if isinstance(record.args, tuple) else ()
            return any(isinstance(argument, Exception) for argument in arguments)
        if not record.exc_info:
            return True
        # A traceback. The line about the run's final state names an error of ours or a returned
        # state in a sentence; only other exceptions need their traceback.
        error = record.exc_info[1]
        return error is not None and not isinstance(error, CvatFlowsError)


_ENGINE_FILTER = _EngineFilter()
_CLEAN_FILTER = CleanFilter()


def filter_log() -> None:
    """Filter the engine's lines about task runs of this project, and clean all lines of runs.

    Safe to call more than once.
    """
    remember_environment()
    settings = get_current_settings()
    for secret in (settings.api.auth_string, settings.api.key):
        if secret is not None:
            remember_pair(secret.get_secret_value())
    logging.getLogger("prefect.task_runs").addFilter(_ENGINE_FILTER)
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_CLEAN_FILTER)
