"""Outcomes on disk between detecting and uploading.

Nothing is uploaded before every frame has been seen (a run over its budget of failed frames
uploads nothing), so outcomes have to wait. They wait in a temporary file: memory does not grow with
the number of frames.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO

from cvat_flows.tasks.model.frames import Batch, Frame, Outcome


class OutcomeSpool:
    """Outcomes by batch, in a file without a name: the system removes it even if the run is killed.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        # Made for the first batch: a run may end before it.
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._places: dict[int, int] = {}
        self._batch_of: dict[int, int] = {}
        self._frames: dict[int, Frame] = {}

    def write(self, batch: Batch, outcomes: Iterable[Outcome]) -> None:
        """Keep the outcomes of a batch; a second call for the batch replaces the first."""
        kept = list(outcomes)
        for outcome in kept:
            self._batch_of[outcome.frame.number] = batch.index
            self._frames[outcome.frame.number] = outcome.frame
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="cvat-flows-spool-")  # noqa: SIM115
            self._places[batch.index] = self._file.seek(0, os.SEEK_END)
            # Pickle is safe here: the file is private to this process and read by it alone.
            pickle.dump(kept, self._file, pickle.HIGHEST_PROTOCOL)

    def of_job(self, job_id: int) -> Iterator[Outcome]:
        """Outcomes of a job's frames in order of frame number, a batch in memory at a time."""
        numbers = sorted(n for n, frame in self._frames.items() if job_id in frame.job_ids)
        for index, group in groupby(numbers, key=self._batch_of.__getitem__):
            wanted = set(group)
            for outcome in self._read(index):
                if outcome.frame.number in wanted:
                    yield outcome

    def __iter__(self) -> Iterator[Outcome]:
        """All outcomes, batch by batch in the order of the plan."""
        for index in sorted(set(self._batch_of.values())):
            yield from self._read(index)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, index: int) -> list[Outcome]:
        assert self._file is not None
        with self._lock:
            self._file.seek(self._places[index])
            outcomes: list[Outcome] = pickle.load(self._file)
        return outcomes
