"""Store outcomes on disk between detection and upload.

A job is uploaded when all of its frames are done. Until then the outcomes are in a temporary file,
so that memory does not grow with the number of frames.
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
    """Outcomes by batch, in an unnamed file. The system deletes it even if the run is killed.

    Thread-safe.
    """

    def __init__(self) -> None:
        # Created with the first batch: a run can end before it.
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._positions: dict[int, int] = {}
        self._batch_of: dict[int, int] = {}
        self._frames: dict[int, Frame] = {}

    def write(self, batch: Batch, outcomes: Iterable[Outcome]) -> None:
        """Store the outcomes of a batch. A second call for the batch replaces the first."""
        stored = list(outcomes)
        with self._lock:
            for outcome in stored:
                self._batch_of[outcome.frame.number] = batch.index
                self._frames[outcome.frame.number] = outcome.frame
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="cvat-flows-spool-")  # noqa: SIM115
            self._positions[batch.index] = self._file.seek(0, os.SEEK_END)
            # Pickle is safe here: only this process can read and write the file.
            pickle.dump(stored, self._file, pickle.HIGHEST_PROTOCOL)

    def of_job(self, job_id: int) -> Iterator[Outcome]:
        """Yield the outcomes of a job in order of frame number, with one batch in memory."""
        with self._lock:
            numbers = sorted(n for n, frame in self._frames.items() if job_id in frame.job_ids)
        for index, group in groupby(numbers, key=self._batch_of.__getitem__):
            wanted = set(group)
            for outcome in self._read(index):
                if outcome.frame.number in wanted:
                    yield outcome

    def job_ids(self) -> list[int]:
        """Return the jobs that have outcomes, in order of frame number."""
        frames = (self._frames[number] for number in sorted(self._frames))
        return list(dict.fromkeys(job_id for frame in frames for job_id in frame.job_ids))

    def clear(self) -> None:
        """Forget all outcomes."""
        with self._lock:
            self._positions.clear()
            self._batch_of.clear()
            self._frames.clear()
            if self._file is not None:
                self._file.truncate(0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, index: int) -> list[Outcome]:
        assert self._file is not None
        with self._lock:
            self._file.seek(self._positions[index])
            outcomes: list[Outcome] = pickle.load(self._file)
        return outcomes
