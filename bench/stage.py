"""What the measurements are made on: a sandbox, its pictures, and folders that are thrown away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
import PIL.Image
from attrs import field, frozen
from cvat_sdk import Client, Config, models

from aa_functions.training.shape_images import LABELS, make_shape_image
from cvat_flows.deployments.sandbox.process import SandboxProcess

DISTINCT = 60
"""Pictures that are really drawn; the others are the same files under other names, with a byte of
their own at the end, so that no cache takes them for known."""


@frozen(kw_only=True)
class Stage:
    """A running sandbox and a folder for everything."""

    folder: Path
    sandbox: SandboxProcess
    _tasks: dict[tuple[int, tuple[int, int]], int] = field(factory=dict)

    def client(self) -> Client:
        """A client with an empty cache of its own."""
        cache = Path(mkdtemp(dir=self.folder, prefix="sdk-cache-"))
        config = Config(status_check_period=0.2, cache_dir=cache)
        client = Client(self.sandbox.url, config=config, check_server_version=False)
        client.login(self.sandbox.admin)
        return client

    def task(self, count: int, size: tuple[int, int] = (1280, 720)) -> int:
        """Id of a CVAT task with that many JPEG images, made when it is first asked for."""
        if (count, size) not in self._tasks:
            self._tasks[count, size] = self._make_task(count, size)
        return self._tasks[count, size]

    def _make_task(self, count: int, size: tuple[int, int]) -> int:
        files = draw(self.folder / f"pictures-{count}-{size[0]}", count, size)
        spec = models.TaskWriteRequest(
            name=f"{count} images {size[0]}x{size[1]}",
            labels=[models.PatchedLabelRequest(name=label) for label in LABELS],
        )
        return int(self.client().tasks.create_from_data(spec, files).id)

    def clear(self, task_id: int) -> None:
        """Remove the task's annotations."""
        self.client().tasks.api.destroy_annotations(task_id)

    def fresh_storage(self) -> Path:
        """Point the manifests and caches to a new empty folder."""
        number = sum(1 for _ in self.folder.glob("storage-*"))
        storage = self.folder / f"storage-{number}"
        os.environ["CVAT_FLOWS_STORAGE"] = str(storage)
        return storage


@contextmanager
def own_prefect_home() -> Iterator[None]:
    """Keep Prefect's database in a folder that is removed; to be entered before Prefect is
    imported, whose server would otherwise open another database than its client."""
    with TemporaryDirectory(prefix="cvat-flows-bench-", ignore_cleanup_errors=True) as name:
        os.environ["PREFECT_HOME"] = name
        yield


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start a sandbox; keep all its data and our caches in a folder that is removed."""
    with TemporaryDirectory(prefix="cvat-flows-bench-") as name:
        folder = Path(name)
        with SandboxProcess(folder / "sandbox") as sandbox:
            yield Stage(folder=folder, sandbox=sandbox)


def draw(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Shapes on noise, about 0.36 MB for 1280x720."""
    folder.mkdir(parents=True)
    drawn: list[bytes] = []
    for index in range(min(count, DISTINCT)):
        picture = make_shape_image(index, seed=7, sizes=[size]).image
        noise = np.random.default_rng(index).integers(-6, 7, (size[1], size[0], 1))
        pixels = np.clip(np.asarray(picture).astype(np.int16) + noise, 0, 255).astype(np.uint8)
        place = folder / "drawn.jpg"
        PIL.Image.fromarray(pixels).save(place, quality=90)
        drawn.append(place.read_bytes())
        place.unlink()
    paths = []
    for index in range(count):
        path = folder / f"{index:06d}.jpg"
        path.write_bytes(drawn[index % len(drawn)] + index.to_bytes(4, "big"))
        paths.append(path)
    return paths
