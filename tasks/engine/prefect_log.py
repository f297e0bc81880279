"""Keep credentials, and needless lines of Prefect's engines, out of the run's log.

The task engine writes a line for each task run that succeeds, and for each one that fails up to
three lines with a traceback of the engine itself. A filter leaves one line for each failed task
run. A worker's flow run that fails ends with such a traceback. A second filter removes it if the
error is one of ours, which the line about the final state names in a sentence. It also removes the
two lines about each hook that was called: what a hook has to say it says itself.

The filters recognize the engines' lines by the file and function that wrote them, the level and the
attached exception. They do not look at their text, which changes between versions of Prefect.
"""

from __future__ import annotations

import logging

import prefect.engine
from prefect import flow_engine, task_engine
from prefect.settings import get_current_settings

from aa_functions.errors import FunctionError
from cvat_flows.tasks.model.credentials import remember_environment, remember_pair
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.log_filter import CleanFilter

_flows: set[str] = set()
"""Names of the flows that have used the engine: flows of users keep their log."""
_UNKNOWN = "<unknown>"
"""The flow's name in the logger with which Prefect ends a flow run of a worker."""
_OURS = (CvatFlowsError, FunctionError)


class _EngineFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        from_engine = record.pathname == task_engine.__file__
        if not from_engine or getattr(record, "flow_name", None) not in _flows:
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
        return error is not None and not isinstance(error, _OURS)


class _FlowEngineFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        name = getattr(record, "flow_name", None)
        from_engine = record.pathname == flow_engine.__file__
        if from_engine and record.levelno == logging.INFO and record.funcName == "call_hooks":
            return name not in _flows
        if not record.exc_info or not isinstance(record.exc_info[1], _OURS):
            return True
        if record.pathname == prefect.engine.__file__:  # on the worker's terminal only
            return False
        return not (from_engine and (name == _UNKNOWN or name in _flows))


_FLOW_ENGINE_FILTER = _FlowEngineFilter()
_ENGINE_FILTER = _EngineFilter()
_CLEAN_FILTER = CleanFilter()


def filter_log(flow_name: str) -> None:
    """Filter the engines' lines about runs of a flow, and clean all lines of runs.

    Safe to call more than once.
    """
    _flows.add(flow_name)
    remember_environment()
    settings = get_current_settings()
    for secret in (settings.api.auth_string, settings.api.key):
        if secret is not None:
            remember_pair(secret.get_secret_value())
    logging.getLogger("prefect.task_runs").addFilter(_ENGINE_FILTER)
    for name in ("prefect.flow_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_FLOW_ENGINE_FILTER)
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(_CLEAN_FILTER)
