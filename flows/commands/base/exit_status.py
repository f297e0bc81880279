"""The exit statuses of all commands."""

from __future__ import annotations

from collections.abc import Mapping

DONE = 0
FAILED = 1
MISTAKE = 2
SERVER = 3
INTERRUPTED = 130

MEANINGS: Mapping[int, str] = {
    DONE: "All was done.",
    FAILED: "Some frames, tasks or checks failed. The output lists them.",
    MISTAKE: "Nothing was done, because of a mistake in the call: a wrong option or number, labels "
    "that do not match, a function that cannot be loaded. The message says what to change.",
    SERVER: "A server (CVAT, Prefect, the storage) cannot be reached or refuses, or another run "
    "writes to the task. The same call may succeed later. What was uploaded is recorded.",
    INTERRUPTED: "Interrupted with Ctrl-C. Run the command again to continue.",
}


def status_of(error: BaseException) -> int:
    """Return the exit status of a command that ended with an error with a sentence."""
    from cvat_flows.flows.prefect_server import PrefectUnavailable
    from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
    from cvat_flows.tasks.cvat.client.login import CannotConnect, NoSuchOrganization
    from cvat_flows.tasks.detect.timeout import FunctionHangs
    from cvat_flows.tasks.record.held_lease import LeaseLost
    from cvat_flows.tasks.record.lease import TaskIsBusy
    from cvat_flows.tasks.storage import StorageError, StorageSettingsError

    match error:
        case FunctionHangs():
            return FAILED
        case CvatRefused():
            # The number in the call is wrong if there is no such task.
            return MISTAKE if error.status == 404 else SERVER
        case NoSuchOrganization() | StorageSettingsError():  # kinds of those below
            return MISTAKE
        case CvatUnavailable() | CannotConnect() | PrefectUnavailable():
            return SERVER
        case StorageError() | TaskIsBusy() | LeaseLost():
            return SERVER
    return MISTAKE


def describe_statuses() -> str:
    """Return the statuses for the end of `--help`."""
    return "exit status: " + " ".join(f"{n}: {text}" for n, text in MEANINGS.items())
