"""Measure uploading 100,000 rectangles against the SDK's one PATCH: `python -m bench.upload_speed`.

Each measurement runs in a separate process, to measure its peak memory, and on an empty task of a
new sandbox. Ours is measured twice: with a list, like the SDK's, and with a generator, like a flow.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cvat_sdk import Client, Config, models
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.task import fetch_identity
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import FolderStorage
from cvat_flows.tasks.upload.job import upload_job

FRAMES = 1_000
RECTANGLES_PER_FRAME = 100
METHODS = ("sdk", "ours from a list", "ours from a generator")


def outcomes(job: int, label: int, frames: int) -> Iterator[Outcome]:
    for number in range(frames):
        frame = Frame(
            number=number, name=f"{number}.png", width=1280, height=720, chunk=0, job_ids=(job,)
        )
        annotations = tuple(
            Annotation(
                type="rectangle",
                label_id=label,
                frame=number,
                points=(n + 0.25, number % 100 + 0.5, n + 50.75, number % 100 + 40.125),
            )
            for n in range(RECTANGLES_PER_FRAME)
        )
        yield Outcome(frame=frame, annotations=annotations)


def measure(method: str, url: str, task_id: int, frames: int, folder: Path) -> dict[str, Any]:
    """Upload once; return the time and the growth of the peak memory."""
    client = Client(url, check_server_version=False)
    client.login(SandboxProcess.admin)
    task = client.tasks.retrieve(task_id)
    (job,) = (job.id for job in task.get_jobs())
    (label,) = (label.id for label in task.get_labels())
    found = outcomes(job, label, frames)
    manifest = Manifest(
        FolderStorage(folder),
        task=fetch_identity(client, task_id),
        function="f",
        run=RunStamp(id="bench"),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if method == "sdk":
        shapes = [
            models.LabeledShapeRequest(
                type="rectangle",
                label_id=a.label_id,
                frame=a.frame,
                points=list(a.points),
                source="auto",
            )
            for outcome in found
            for a in outcome.annotations or ()
        ]
        body = models.PatchedLabeledDataRequest(shapes=shapes)
        begin = time.perf_counter()
        task.update_annotations(body)
    else:
        ready = list(found) if method == "ours from a list" else found
        begin = time.perf_counter()
        report = upload_job(client, task_id=task_id, job_id=job, outcomes=ready, manifest=manifest)
        assert report.created == frames * RECTANGLES_PER_FRAME
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mebibytes": (peak - before) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upload_speed", description=__doc__)
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="number of frames, each with 100 rectangles"
    )
    parser.add_argument("--one", nargs=4, metavar=("METHOD", "URL", "TASK", "FOLDER"))
    options = parser.parse_args()
    if options.one:
        method, url, task, folder = options.one
        print(json.dumps(measure(method, url, int(task), options.frames, Path(folder))))
        return
    results = {}
    with TemporaryDirectory(prefix="cvat-flows-bench-") as name:
        folder = Path(name)
        for method in METHODS:
            place = folder / method.replace(" ", "-")
            with SandboxProcess(place / "sandbox") as sandbox:
                task_id = _make_task(sandbox, place, options.frames)
                answer = subprocess.run(
                    [
                        *(sys.executable, "-m", "bench.upload_speed"),
                        *("--frames", str(options.frames)),
                        *("--one", method, sandbox.url, str(task_id), str(place / "storage")),
                    ],
                    check=True,
                    stdout=subprocess.PIPE,
                )
            results[method] = json.loads(answer.stdout)
            taken = results[method]
            print(
                f"{method:<24}{options.frames * RECTANGLES_PER_FRAME:>9,} rectangles"
                f"{taken['seconds']:>9.1f} s{taken['mebibytes']:>9.0f} MiB more peak memory",
                flush=True,
            )
    sdk = results["sdk"]["seconds"]
    for method in METHODS[1:]:
        print(
            f"{method}: {sdk / results[method]['seconds']:.2f} times the speed of the SDK's PATCH"
        )


def _make_task(sandbox: SandboxProcess, folder: Path, frames: int) -> int:
    images = folder / "images"
    images.mkdir(parents=True)
    paths = []
    for number in range(frames):
        paths.append(images / f"{number:06d}.png")
        Image.new("RGB", (16, 16), (number % 256, 0, 0)).save(paths[-1])
    config = Config(status_check_period=0.1, cache_dir=folder / "cache")
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(sandbox.admin)
        spec = models.TaskWriteRequest(
            name="rectangles", labels=[models.PatchedLabelRequest(name="car")]
        )
        return int(client.tasks.create_from_data(spec, paths).id)


if __name__ == "__main__":
    main()
