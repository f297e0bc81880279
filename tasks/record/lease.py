"""Make one run the only writer of a CVAT task, by a lease in the storage of the manifests.

A lease is a file that names the writer and an end. The writer renews it. A killed writer does not,
so it blocks other runs only until the lease ends. If it ran on the same machine, other runs can see
that it is dead. Then it blocks them for ten seconds only, and only if it had begun to write.

`held_lease.py` says how one of several runs gets it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.record.held_lease import Lease
from cvat_flows.tasks.record.lease_file import (
    LeaseEntry,
    LeaseTiming,
    process_start,
    this_machine,
)
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import Storage


class TaskIsBusy(CvatFlowsError):
    """Another run writes to the CVAT task."""

    def __init__(self, message: str, *, holder: LeaseEntry) -> None:
        super().__init__(message)
        self.holder = holder


@contextmanager
def task_lease(
    storage: Storage,
    *,
    task: TaskIdentity,
    run: RunStamp,
    wait: float = 600.0,
    writes_later: bool = False,
    timing: LeaseTiming | None = None,
) -> Iterator[Lease]:
    """Be the only writer of a CVAT task inside the block.

    Call `lease.check` before each write.

    Args:
        storage: The storage of the manifests.
        task: The CVAT task.
        run: The run that writes.
        wait: Seconds to wait for another run to end.
        writes_later: Take over the lease of a dead process of this machine without waiting for its
            last request. The caller must call `lease.begin_writing` before it reads the annotations
            that it changes.
        timing: Times of the lease.

    Raises:
        TaskIsBusy: Another run still has the lease after `wait` seconds.
    """
    timing = timing or LeaseTiming()
    lease = Lease(
        storage=storage,
        task=task,
        entry=LeaseEntry(
            token=secrets.token_hex(8),
            run_id=run.id,
            run_name=run.name,
            host=f"{socket.gethostname()}:{os.getpid()}",
            expires=0.0,
            machine=this_machine(),
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            writes=not writes_later,
        ),
        timing=timing,
        writes_later=writes_later,
    )
    deadline = time.monotonic() + wait
    while (holder := lease.try_to_take()) is not None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TaskIsBusy(
                f"task {task.task_id} is being written to by {holder.holder}; waited {wait:g} s "
                "for it to end. Try again later, or cancel that run",
                holder=holder,
            )
        time.sleep(min(timing.poll, remaining))
    lease.start_renewing()
    try:
        yield lease
    finally:
        lease.release()
