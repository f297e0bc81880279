"""Errors that a user can act on. The text is one sentence; the facts are fields.

The command line prints the sentence (`flows.commands.base.exit_status` has its status). The Prefect
UI shows the sentence as the state's message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvat_flows.tasks.model.text import clean

if TYPE_CHECKING:
    from cvat_flows.tasks.model.frames import Failure, Frame


class CvatFlowsError(Exception):
    """Base class of errors whose text says what is wrong and what to do, without a traceback.

    The text may quote names and answers of servers: credentials in it are masked, and characters
    that a terminal would obey are replaced.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(clean(text))


class FrameFailed(CvatFlowsError):
    """One frame could not be annotated. Other frames are not affected."""

    def __init__(self, frame: Frame, failure: Failure) -> None:
        text = failure.error
        super().__init__(text if str(frame) in text else f"{frame}: {text}")
        self.frame = frame
        self.failure = failure


class StepCancelled(CvatFlowsError):
    """A step was not needed any more when its turn came."""
