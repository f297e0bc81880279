"""Outcomes on disk between detecting and uploading.

Nothing is uploaded before every frame has been seen (a run over its budget of failed frames
uploads nothing), so outcomes have to wait. They wait in a temporary folder, a file a batch: memory
does not grow with the number of frames.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from tasks.frames import Batch, Frame, Outcome


class OutcomeSpool:
    """Outcomes by batch, in a folder that goes with the run."""

    def __init__(self) -> None:
        # Made for the first batch: a run that ends before it leaves nothing to clean up.
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._batch_of: dict[int, int] = {}
        self._frames: dict[int, Frame] = {}

    def write(self, batch: Batch, outcomes: Iterable[Outcome]) -> None:
        """Keep the outcomes of a batch; a second call for the batch replaces the first."""
        kept = list(outcomes)
        for outcome in kept:
            self._batch_of[outcome.frame.number] = batch.index
            self._frames[outcome.frame.number] = outcome.frame
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="cvat-flows-spool-")
        # Pickle is safe here: the folder is private to this process and read by it alone.
        self._path(batch.index).write_bytes(pickle.dumps(kept, pickle.HIGHEST_PROTOCOL))

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
        if self._folder is not None:
            self._folder.cleanup()

    def _path(self, index: int) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / f"{index:06d}.pickle"

    def _read(self, index: int) -> list[Outcome]:
        outcomes: list[Outcome] = pickle.loads(self._path(index).read_bytes())
        return outcomes
