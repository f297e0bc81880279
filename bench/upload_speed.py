"""Time uploading 100,000 rectangles next to the SDK's one PATCH: `python -m bench.upload_speed`.

Each measurement runs in a process of its own, on an empty task of a fresh sandbox, so that the
peak of its memory is its own. Ours is given twice: from a list, as the SDK's, and from a generator,
as a flow hands them over.
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
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.storage import FolderStorage
from cvat_flows.tasks.upload.job import upload_job
from cvat_flows.tasks.upload.manifest import Manifest
from cvat_flows.tasks.upload.manifest_file import RunStamp

FRAMES = 1_000
RECTANGLES = 100
"""A frame."""
WAYS = ("sdk", "ours from a list", "ours from a generator")


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
            for n in range(RECTANGLES)
        )
        yield Outcome(frame=frame, annotations=annotations)


def measure(way: str, url: str, task_id: int, frames: int, folder: Path) -> dict[str, Any]:
    """Upload once and say what it took."""
    client = Client(url, check_server_version=False)
    client.login(SandboxProcess.admin)
    task = client.tasks.retrieve(task_id)
    (job,) = (job.id for job in task.get_jobs())
    (label,) = (label.id for label in task.get_labels())
    found = outcomes(job, label, frames)
    manifest = Manifest(
        FolderStorage(folder), server=url, task_id=task_id, function="f", run=RunStamp(id="bench")
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if way == "sdk":
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
        ready = list(found) if way == "ours from a list" else found
        begin = time.perf_counter()
        report = upload_job(client, task_id=task_id, job_id=job, outcomes=ready, manifest=manifest)
        assert report.created == frames * RECTANGLES
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mebibytes": (peak - before) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upload_speed", description=__doc__)
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of 100 rectangles")
    parser.add_argument("--one", nargs=4, metavar=("WAY", "URL", "TASK", "FOLDER"))
    options = parser.parse_args()
    if options.one:
        way, url, task, folder = options.one
        print(json.dumps(measure(way, url, int(task), options.frames, Path(folder))))
        return
    results = {}
    with TemporaryDirectory(prefix="cvat-flows-bench-") as name:
        folder = Path(name)
        for way in WAYS:
            place = folder / way.replace(" ", "-")
            with SandboxProcess(place / "sandbox") as sandbox:
                task_id = _make_task(sandbox, place, options.frames)
                answer = subprocess.run(
                    [
                        *(sys.executable, "-m", "bench.upload_speed"),
                        *("--frames", str(options.frames)),
                        *("--one", way, sandbox.url, str(task_id), str(place / "storage")),
                    ],
                    check=True,
                    stdout=subprocess.PIPE,
                )
            results[way] = json.loads(answer.stdout)
            taken = results[way]
            print(
                f"{way:<24}{options.frames * RECTANGLES:>9,} rectangles"
                f"{taken['seconds']:>9.1f} s{taken['mebibytes']:>9.0f} MiB more at the peak",
                flush=True,
            )
    sdk = results["sdk"]["seconds"]
    for way in WAYS[1:]:
        print(f"{way}: {sdk / results[way]['seconds']:.2f} times the speed of the SDK's PATCH")


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
