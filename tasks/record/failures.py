"""Count equal failures of a frame, so that a frame that always fails is not tried every night.

Two failures are equal if they have the same step and the same type of error. Texts do not count:
they have numbers and names in them. Failures add up as long as the function, the options and the
images stay the same. After MAX_EQUAL_FAILURES of them the frame is set aside.
"""

from __future__ import annotations

from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp

MAX_EQUAL_FAILURES = 3
TRY_AGAIN = "--fresh or `cvat-flows retry` tries again"
"""How a person has a frame that was set aside tried again, as part of a sentence."""


def kind_of(failure: Failure) -> str:
    """Return the kind of a failure: `detect ValueError`."""
    return f"{failure.step} {failure.error_type}"


def count_failures(before: FrameRecord | None, run: RunStamp, failure: Failure) -> int:
    """Return how many runs in a row have failed in this way, including `run`.

    Args:
        before: The frame's record before `run`, or the one that `run` itself has written.
        run: The run that failed.
        failure: The failure of `run`.
    """
    if before is None or before.failure != kind_of(failure) or not _is_same_work(before.run, run):
        return 1
    counted_before = before.run.id == run.id and before.state == "failed"
    return before.failures + (0 if counted_before else 1)


def is_set_aside(record: FrameRecord | None, run: RunStamp) -> bool:
    """Return whether the frame has failed so often that `run` should not try it."""
    return (
        record is not None
        and record.failures >= MAX_EQUAL_FAILURES
        and record.state == "failed"
        and _is_same_work(record.run, run)
    )


def _is_same_work(before: RunStamp, now: RunStamp) -> bool:
    """Return whether both runs do the same to the same images."""
    return (before.fingerprint, before.parameters, before.images) == (
        now.fingerprint,
        now.parameters,
        now.images,
    )
