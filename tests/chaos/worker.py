"""The process that uploads and is killed.

It reads paths of pickled `Attempt`s from its standard input, one a line. For each it forks a child,
which has all modules imported, and prints the child's pid and then its exit code.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Collection
from pathlib import Path

from attrs import evolve, frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.cvat.task import fetch_updated
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.record.held_lease import LeaseLost
from cvat_flows.tasks.record.lease import task_lease
from cvat_flows.tasks.record.lease_file import LeaseTiming
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.manifest_summary import write_summary
from cvat_flows.tasks.storage import FolderStorage
from cvat_flows.tasks.upload.frames.plan import Existing
from cvat_flows.tasks.upload.frames.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.job import upload_job
from cvat_flows.tasks.upload.rounds import upload_in_rounds
from tests.chaos.bad_functions import fail_in_functions

DONE, INTERRUPTED, BROKEN = 0, 3, 9
REFUSED = 403


@frozen(kw_only=True)
class Attempt:
    """One start of the uploader."""

    url: str
    token: str
    folder: str
    task: TaskIdentity
    jobs: tuple[int, ...]
    outcomes: list[Outcome]
    existing: Existing
    run: RunStamp
    task_labels: tuple[Label, ...]
    max_shapes: int
    lease_seconds: float
    retry_policy: RetryPolicy
    clock: float = 0.0
    """Seconds by which the clock is wrong."""
    kill_at_write: int | None = None
    """Kill the process at this write to the storage."""
    kill_phase: str = "before"
    """When: `before` the write, in the `middle` of it, or `after` it."""


class KillingStorage(FolderStorage):
    """A folder that kills its process at one of its writes."""

    def __init__(self, root: Path, at: int | None, phase: str) -> None:
        super().__init__(root)
        self._left, self._phase = at, phase

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        # The lease is renewed in a thread, so its writes are not counted.
        if self._left is None or path.startswith("leases/"):
            return super().write(path, content, durable=durable)
        if self._left > 0:
            self._left -= 1
            return super().write(path, content, durable=durable)
        if self._phase == "middle":
            self._write_temporary(self._full_path(path), content[: len(content) // 2])
        if self._phase == "after":
            super().write(path, content, durable=durable)
        os.kill(os.getpid(), signal.SIGKILL)
        return None


def upload(attempt: Attempt, storage: FolderStorage) -> None:
    """Upload to all jobs of the task, with a lease."""
    outcomes = fail_in_functions(attempt.outcomes)
    client = Client(attempt.url, check_server_version=False)
    client.api_client.set_default_header("Authorization", f"Token {attempt.token}")
    manifest = Manifest(storage, task=attempt.task, function="f", run=attempt.run)
    options = UploadOptions(
        existing=attempt.existing,
        labels=attempt.task_labels,
        retry_policy=attempt.retry_policy,
        max_shapes=attempt.max_shapes,
    )
    with task_lease(
        storage,
        task=attempt.task,
        run=attempt.run,
        wait=30,
        timing=LeaseTiming(seconds=attempt.lease_seconds, poll=0.02, allowance=0.0),
    ) as lease:

        def upload_one(job: int, frames: Collection[int] | None) -> UploadReport:
            of_job = [o for o in outcomes if job in o.frame.job_ids]
            return upload_job(
                client,
                task_id=attempt.task.task_id,
                job_id=job,
                outcomes=[o for o in of_job if frames is None or o.frame.number in frames],
                manifest=manifest,
                options=evolve(options, check=lease.check, quiet_since=lease.quiet_since),
            )

        for _ in upload_in_rounds(attempt.jobs, upload_one):
            pass
        write_summary(
            manifest,
            frames=len(outcomes),
            task_updated=fetch_updated(client, attempt.task),
        )


def main() -> None:
    for line in sys.stdin:
        attempt: Attempt = pickle.loads(Path(line.strip()).read_bytes())
        child = os.fork()
        if child == 0:
            os._exit(_attempt(attempt))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _attempt(attempt: Attempt) -> int:
    _set_clock(attempt.clock)
    storage = KillingStorage(Path(attempt.folder), attempt.kill_at_write, attempt.kill_phase)
    try:
        upload(attempt, storage)
    except (CvatUnavailable, LeaseLost):
        return INTERRUPTED
    except CvatRefused as error:
        if error.status == REFUSED:
            return INTERRUPTED
        traceback.print_exc()
        return BROKEN
    except BaseException:
        traceback.print_exc()
        return BROKEN
    return DONE


def _set_clock(offset: float) -> None:
    right = time.time
    time.time = lambda: right() + offset


if __name__ == "__main__":
    main()
