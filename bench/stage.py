"""The stage of the measurements: a sandbox, images, and temporary folders."""

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

DISTINCT_IMAGES = 60
"""Number of images that are drawn. The others are copies of them.

Each file ends with different bytes, so that caches do not know it.
"""


@frozen(kw_only=True)
class Stage:
    """A running sandbox and a folder for all data."""

    folder: Path
    sandbox: SandboxProcess
    _tasks: dict[tuple[int, tuple[int, int], int | None, tuple[str, ...]], int] = field(
        factory=dict
    )

    def client(self) -> Client:
        """Return a logged-in client with an empty cache."""
        cache = Path(mkdtemp(dir=self.folder, prefix="sdk-cache-"))
        config = Config(status_check_period=0.2, cache_dir=cache)
        client = Client(self.sandbox.url, config=config, check_server_version=False)
        client.login(self.sandbox.admin)
        return client

    def task(
        self,
        count: int,
        size: tuple[int, int] = (1280, 720),
        segment_size: int | None = None,
        skeleton: tuple[str, ...] = (),
    ) -> int:
        """Id of a CVAT task with that many JPEG images, made when it is first asked for.

        `segment_size` is the number of frames of each job; None: all frames are in one job.
        `skeleton` has the keypoints of its one label, `arrow`; empty: the labels are `LABELS`.
        """
        key = (count, size, segment_size, skeleton)
        if key not in self._tasks:
            self._tasks[key] = self._make_task(*key)
        return self._tasks[key]

    def _make_task(
        self,
        count: int,
        size: tuple[int, int],
        segment_size: int | None,
        skeleton: tuple[str, ...],
    ) -> int:
        folder = self.folder / f"pictures-{count}-{size[0]}-{segment_size}-{len(skeleton)}"
        files = draw(folder, count, size)
        labels = [models.PatchedLabelRequest(name=label) for label in LABELS]
        spec = models.TaskWriteRequest(
            name=f"{count} images {size[0]}x{size[1]}",
            labels=[_skeleton_label(skeleton)] if skeleton else labels,
            **({} if segment_size is None else {"segment_size": segment_size}),
        )
        return int(self.client().tasks.create_from_data(spec, files).id)

    def clear(self, task_id: int) -> None:
        """Delete the task's annotations."""
        self.client().tasks.api.destroy_annotations(task_id)

    def fresh_storage(self) -> Path:
        """Use a new empty folder for manifests and caches."""
        number = sum(1 for _ in self.folder.glob("storage-*"))
        storage = self.folder / f"storage-{number}"
        os.environ["CVAT_FLOWS_STORAGE"] = str(storage)
        return storage


def _skeleton_label(names: tuple[str, ...]) -> models.PatchedLabelRequest:
    points = [models.SublabelRequest(name=name, type="points") for name in names]
    svg = "".join(
        f'<circle r="1.5" cx="{10 + 20 * n}" cy="50" data-type="element node" '
        f'data-element-id="{n}" data-node-id="{n}" data-label-name="{name}"></circle>'
        for n, name in enumerate(names, 1)
    )
    return models.PatchedLabelRequest(name="arrow", type="skeleton", svg=svg, sublabels=points)


@contextmanager
def temporary_prefect_home() -> Iterator[None]:
    """Keep Prefect's database in a temporary folder.

    Enter it before Prefect is imported. Otherwise Prefect's server and client use different
    databases.
    """
    with TemporaryDirectory(prefix="cvat-flows-bench-", ignore_cleanup_errors=True) as name:
        os.environ["PREFECT_HOME"] = name
        yield


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start a sandbox; keep its data and our caches in a temporary folder."""
    with TemporaryDirectory(prefix="cvat-flows-bench-") as name:
        folder = Path(name)
        with SandboxProcess(folder / "sandbox") as sandbox:
            yield Stage(folder=folder, sandbox=sandbox)


def draw(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write JPEGs of shapes on noise, 0.36 MB each for 1280x720; return their paths."""
    folder.mkdir(parents=True)
    drawn: list[bytes] = []
    for index in range(min(count, DISTINCT_IMAGES)):
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
