"""Errors that a person can act on: one sentence as text, the facts as fields.

The command line prints the sentence and ends with exit status 2; the Prefect UI shows it as the
state's message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvat_flows.tasks.model.frames import Failure, Frame


class CvatFlowsError(Exception):
    """Base of every error that names what is wrong and says what to do. No traceback is needed."""


class FrameFailed(CvatFlowsError):
    """A frame could not be annotated; the other frames are not concerned."""

    def __init__(self, frame: Frame, failure: Failure) -> None:
        super().__init__(f"{frame}: {failure.error}")
        self.frame = frame
        self.failure = failure
