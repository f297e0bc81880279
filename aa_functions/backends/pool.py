"""Run a YOLO model over images: several copies on a CPU, batches on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import PIL.Image

from aa_functions.backends.predictor import PreparedImage

MAX_THREADS_PER_IMAGE = 8
"""More threads do not make one image faster."""


class AnyPredictor(Protocol):
    """`Predictor` or `ExportedPredictor`."""

    uses_torch: bool

    def prepare(self, image: PIL.Image.Image) -> Any:
        """Make an image ready for the network."""

    def run(self, prepared: Sequence[Any], conf: float) -> list[Any]:
        """Return what is found on images that are ready."""


MakePredictor = Callable[[int], AnyPredictor]
"""Makes a predictor that uses this number of processor threads."""


class PredictorPool:
    """Lends predictors, each to one thread at a time.

    Threads must not share a predictor: with different thresholds it silently gives wrong results,
    and its detection head keeps state between calls.
    """

    def __init__(self, make: Callable[[], AnyPredictor], size: int) -> None:
        self._make = make
        self._unmade = size
        self._free: list[AnyPredictor] = []
        self._changed = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[AnyPredictor]:
        """Lend a free predictor; make one if there are fewer than the pool's size, else wait."""
        predictor = self._take()
        try:
            yield predictor
        finally:
            with self._changed:
                self._free.append(predictor)
                self._changed.notify()

    def _take(self) -> AnyPredictor:
        with self._changed:
            while not self._free and not self._unmade:
                self._changed.wait()
            if self._free:
                return self._free.pop()
            self._unmade -= 1
        try:
            return self._make()
        except BaseException:
            with self._changed:
                self._unmade += 1
                self._changed.notify()
            raise


class CpuRunner:
    """Runs one image at a time on each core.

    On a CPU larger batches are not faster, and two models with one thread each are faster than one
    model with two threads. With one thread an image's boxes are also always equal to the last bit:
    the number of torch's threads changes the last digits.
    """

    def __init__(self, make: MakePredictor, workers: int) -> None:
        self._narrow = PredictorPool(lambda: make(1), workers)
        # Leave a core to the rest of the process: threads that wait for each other get many times
        # slower if something else runs on their cores.
        wide = min(MAX_THREADS_PER_IMAGE, max(1, workers - 1))
        self._wide = PredictorPool(lambda: make(wide), 1)
        # Torch keeps its number of threads per thread: this leaves the caller's unchanged.
        self._narrow_threads = ThreadPoolExecutor(workers, thread_name_prefix="yolo")
        self._wide_thread = ThreadPoolExecutor(1, thread_name_prefix="yolo-wide")
        self._wide_threads = wide

    def run(self, images: Sequence[PIL.Image.Image], conf: float) -> list[Any]:
        """Return what is found on each image; see `Predictor.run`."""
        return list(
            self._narrow_threads.map(lambda image: _run_one(self._narrow, image, conf, 1), images)
        )

    def run_single(self, image: PIL.Image.Image, conf: float) -> Any:
        """Return what is found on one image, using several threads.

        This has a lower latency than `run`, but also a lower throughput.
        """
        return self._wide_thread.submit(
            _run_one, self._wide, image, conf, self._wide_threads
        ).result()


def _run_one(pool: PredictorPool, image: PIL.Image.Image, conf: float, threads: int) -> Any:
    with pool.lend() as predictor:
        if predictor.uses_torch:
            import torch

            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
        return predictor.run([predictor.prepare(image)], conf)[0]


class GpuRunner:
    """Runs batches of images of one shape on a GPU. The CPU's cores prepare the images.

    A batch of several shapes would be padded to a common one. The boxes of an image would then
    depend on its neighbours.
    """

    def __init__(self, make: MakePredictor, workers: int, batch: int) -> None:
        self._make = make
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="yolo-prepare")
        self._batch = batch
        self._making = threading.Lock()
        self._running = threading.Lock()
        self._made: AnyPredictor | None = None

    @property
    def batch(self) -> int:
        """Maximum number of images in a batch. It shrinks when the GPU runs out of memory."""
        return self._batch

    def run(self, images: Sequence[PIL.Image.Image], conf: float) -> list[Any]:
        """Return what is found on each image; see `Predictor.run`."""
        with self._making:
            predictor = self._made = self._made or self._make(1)
        found: dict[int, Any] = {}
        groups: dict[tuple[int, ...], dict[int, PreparedImage]] = {}
        for index, prepared in enumerate(self._executor.map(predictor.prepare, images)):
            shape = prepared.original.shape
            group = groups.setdefault(shape, {})
            group[index] = prepared
            if len(group) >= self._batch:
                found.update(self._run_group(predictor, groups.pop(shape), conf))
        for group in groups.values():
            found.update(self._run_group(predictor, group, conf))
        return [found[index] for index in range(len(images))]

    def run_single(self, image: PIL.Image.Image, conf: float) -> Any:
        """Return what is found on one image; see `Predictor.run`."""
        return self.run([image], conf)[0]

    def _run_group(
        self, predictor: AnyPredictor, group: dict[int, PreparedImage], conf: float
    ) -> dict[int, Any]:
        prepared = list(group.values())
        rows: list[Any] = []
        with self._running:
            while len(rows) < len(prepared):
                part = prepared[len(rows) : len(rows) + self._batch]
                try:
                    rows += predictor.run(part, conf)
                except RuntimeError as error:
                    if not is_out_of_memory(error) or len(part) == 1:
                        raise
                    self._batch = len(part) // 2
                    _free_device_memory()
        return dict(zip(group, rows, strict=True))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a GPU ran out of memory, which CUDA libraries report in several ways."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "alloc_failed" in text


def _free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
