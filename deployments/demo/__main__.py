"""`make demo`: the real flow with the shipped YOLOv8n over two CVAT tasks of a sandbox server.

Everything it makes is below `demo-output/`, anew each time. With `--ui` a Prefect server shows the
runs, and both servers stay until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cvat_flows.flows.cli import set_prefect_defaults

if TYPE_CHECKING:
    from cvat_sdk import Client

    from aa_functions.training.shape_images import TrueBox
    from cvat_flows.tasks.reports.run_report import RunReport

OUTPUT = Path("demo-output")
FUNCTION = "aa_functions.shapes"
IOU_OF_A_MATCH = 0.5


@frozen(kw_only=True)
class DemoTask:
    """A CVAT task of the demo, and what is really on its pictures."""

    name: str
    frames: int
    sizes: tuple[tuple[int, int], ...]
    segment_size: int
    seed: int
    unreadable: int | None = None
    """Frame whose image the sandbox is told to serve damaged."""


TASKS = (
    DemoTask(
        name="shapes, one size",
        frames=120,
        sizes=((640, 480),),
        segment_size=40,
        seed=1001,
        unreadable=17,
    ),
    DemoTask(
        name="shapes, several sizes",
        frames=60,
        sizes=((320, 240), (640, 480), (800, 600), (1280, 720)),
        segment_size=25,
        seed=1002,
    ),
)


def main() -> int:
    """Run the demo; 0 if what happened is what had to happen."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep the servers running")
    arguments = parser.parse_args()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    os.environ["CVAT_FLOWS_STORAGE"] = str((OUTPUT / "storage").absolute())
    os.environ["PREFECT_HOME"] = str((OUTPUT / "prefect").absolute())
    # Prefect reads its settings when it is imported: from here on, not before.
    set_prefect_defaults()
    with ExitStack() as stack:
        if arguments.ui:
            from cvat_flows.deployments.demo.local_prefect import local_prefect

            ui = stack.enter_context(local_prefect(OUTPUT))
        ok = _annotate_all(stack)
        if arguments.ui:
            print(f"\nPrefect UI  {ui}\nCtrl-C stops both servers.")
            _wait_for_interrupt()
    return 0 if ok else 1


def _annotate_all(stack: ExitStack) -> bool:
    from cvat_flows.deployments.demo.contact_sheet import contact_sheet
    from cvat_flows.deployments.sandbox.process import SandboxProcess
    from cvat_flows.tasks.cvat.connection import ServerSettings, connect

    print("starting the sandbox, a small CVAT-compatible server ...")
    sandbox = stack.enter_context(SandboxProcess(OUTPUT / "sandbox"))
    user, password = sandbox.admin
    client = connect(ServerSettings(host=sandbox.url, username=user, password=password))
    client.config.status_check_period = 0.2
    reports = []
    pictures: list[tuple[Path, list[Any]]] = []
    truths = []
    for task in TASKS:
        task_id, images, truth = _create(client, task)
        if task.unreadable is not None:
            sandbox.set_faults(
                [{"action": "corrupt_frame", "task": task_id, "frame": task.unreadable}]
            )
        reports.append(_annotate(client, task_id))
        stored = _stored(client, task_id)
        truths.append(_agreement(stored, truth))
        pictures += [(images[n], stored[n]) for n in range(0, task.frames, task.frames // 8)]
    sheet = contact_sheet(pictures, OUTPUT / "contact-sheet.png")
    _print_table(reports, truths)
    print(f"\ncontact sheet  {sheet}\nCVAT tasks     {sandbox.url} (admin/admin, while it runs)")
    return all(
        len(report.failed) == (task.unreadable is not None) and not report.stopped
        for report, task in zip(reports, TASKS, strict=True)
    )


def _create(client: Client, task: DemoTask) -> tuple[int, list[Path], list[tuple[TrueBox, ...]]]:
    from cvat_sdk import models

    from aa_functions.training.shape_images import LABELS, make_shape_images

    print(f"making the CVAT task {task.name!r} with {task.frames} pictures ...")
    folder = OUTPUT / "images" / str(task.seed)
    folder.mkdir(parents=True)
    images, truth = [], []
    for n, made in enumerate(make_shape_images(task.frames, seed=task.seed, sizes=task.sizes)):
        path = folder / f"img_{n:04d}.jpg"
        made.image.save(path, quality=92)
        images.append(path)
        truth.append(made.boxes)
    created = client.tasks.create_from_data(
        spec=models.TaskWriteRequest(
            name=task.name,
            segment_size=task.segment_size,
            labels=[models.PatchedLabelRequest(name=name, type="rectangle") for name in LABELS],
        ),
        resources=images,
    )
    return created.id, images, truth


def _annotate(client: Client, task_id: int) -> RunReport:
    from cvat_flows.flows.annotate import run_here
    from cvat_flows.flows.commands.annotate import TerminalProgress
    from cvat_flows.flows.parameters import AnnotateTaskParameters
    from cvat_flows.flows.run.live import LiveInputs

    finished = run_here(
        AnnotateTaskParameters(task_id=task_id, function=FUNCTION),
        LiveInputs(client=client, progress=TerminalProgress()),
    )
    return finished.report_or_raise()


@frozen(kw_only=True)
class Box:
    """A rectangle as CVAT has it."""

    label: str
    points: tuple[float, float, float, float]


def _stored(client: Client, task_id: int) -> list[list[Box]]:
    """Rectangles that CVAT holds now, by frame."""
    task = client.tasks.retrieve(task_id)
    names = {label.id: label.name for label in task.get_labels()}
    frames: list[list[Box]] = [[] for _ in range(task.size)]
    for shape in task.get_annotations().shapes:
        frames[shape.frame].append(Box(label=names[shape.label_id], points=tuple(shape.points)))
    return frames


@frozen(kw_only=True)
class Agreement:
    """How the rectangles in CVAT compare with what was drawn."""

    found: int
    drawn: int
    matched: int
    """Same label and an intersection over union of at least one half, one to one."""


def _agreement(stored: list[list[Box]], truth: list[tuple[TrueBox, ...]]) -> Agreement:
    matched = sum(_matches(boxes, true) for boxes, true in zip(stored, truth, strict=True))
    return Agreement(found=sum(map(len, stored)), drawn=sum(map(len, truth)), matched=matched)


def _matches(boxes: Iterable[Box], true: Iterable[TrueBox]) -> int:
    left = list(true)
    count = 0
    for box in boxes:
        best = max(
            (t for t in left if t.label == box.label),
            key=lambda t: _iou(box.points, (t.xtl, t.ytl, t.xbr, t.ybr)),
            default=None,
        )
        if best and _iou(box.points, (best.xtl, best.ytl, best.xbr, best.ybr)) >= IOU_OF_A_MATCH:
            left.remove(best)
            count += 1
    return count


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (xtl, ytl, xbr, ybr)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((p[2] - p[0]) * (p[3] - p[1]) for p in (a, b))
    return width * height / (area_a + area_b - width * height)


def _print_table(reports: list[RunReport], truths: list[Agreement]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "CVAT task", "frames", "shapes by label", "failed", "frames/s", "recall", "precision"
    )
    for report, agreement in zip(reports, truths, strict=True):
        table.add_row(
            f"{report.media.task_id} {report.media.name}",
            f"{report.count('annotated')} of {len(report.rows)}",
            "\n".join(f"{name} {count}" for name, count in _sorted(report.shapes_by_label)),
            "\n".join(row.error for row in report.failed) or "-",
            f"{report.frames_per_second:.1f}",
            f"{agreement.matched / agreement.drawn:.1%} of {agreement.drawn}",
            f"{agreement.matched / max(agreement.found, 1):.1%} of {agreement.found}",
        )
    Console().print("", table)
    print("recall and precision: boxes in CVAT against those drawn, same label, IoU at least 0.5")


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items())


def _wait_for_interrupt() -> None:
    import threading

    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("stopping")


if __name__ == "__main__":
    sys.exit(main())
