"""Write detections to the cache in the background while the function works on the next images."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.model.frames import Outcome


class CacheWriter:
    """Writes outcomes to a cache from its own thread, one call of `put` at a time.

    Remote storage can take longer for a batch than a fast model does, so the function must not wait
    for it. At most one batch is being written and no other is queued, so a killed run loses at most
    one batch.
    """

    def __init__(self, cache: DetectionCache) -> None:
        self._cache = cache
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._writing: Future[None] | None = None
        self._lock = threading.Lock()

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Start to write new detections, after the previous ones are written."""
        detected = [
            outcome
            for outcome in outcomes
            if outcome.content_hash and outcome.detections is not None
            if not outcome.cached
        ]
        with self._lock:
            self._wait()
            if detected:
                self._writing = self._thread.submit(self._cache.put_many, detected)

    def close(self) -> None:
        """Wait until everything is written."""
        try:
            self._wait()
        finally:
            self._thread.shutdown()

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
