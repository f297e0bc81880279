"""What all flows share: the engine they run with, and the state in which they end."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from aa_functions.reference import FunctionReferenceError
from cvat_flows.flows.run.detect import THREADS
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import clean

RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=THREADS)
"""Runs the task runs of one flow run in threads."""


class HasSentence(Protocol):
    """A report that says in a sentence what came out."""

    @property
    def sentence(self) -> str: ...


Report = TypeVar("Report")


def _own_sentence(report: HasSentence) -> str:
    return report.sentence


def ended(run: Callable[[], Report], sentence: Callable[[Any], str] = _own_sentence) -> State[Any]:
    """Run the steps of a flow as Prefect tasks, and return the flow's final state.

    Args:
        run: Runs the steps and returns their report.
        sentence: Says in a sentence what came out. By default the report says it.

    Returns:
        Completed, with the sentence and the report; or Failed, with the error, if it says in a
        sentence what to do. Other errors are bugs and pass.
    """
    try:
        with use_engine(RecordedEngine()):
            report = run()
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(sentence(report)), data=report)
