"""`make demo`: annotate two CVAT tasks of a sandbox server with the shipped YOLOv8n.

All output goes to the folder `demo-output`, which is emptied first. The runs are flow runs on a
Prefect server. With `--ui`, that server and the sandbox run until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.deployments.demo.contact_sheet import save_contact_sheet
from cvat_flows.deployments.demo.demo_tasks import TASKS, create_task
from cvat_flows.deployments.demo.truth import Box, read_boxes, write_truth
from cvat_flows.flows.cli import set_prefect_defaults

if TYPE_CHECKING:
    from cvat_sdk import Client

    from cvat_flows.deployments.sandbox.process import SandboxProcess
    from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
    from cvat_flows.tasks.reports.run_report import RunReport

OUTPUT = Path("demo-output")
FUNCTION = "shapes"
IMAGES_ON_SHEET = 8
"""Number of images of each task on the contact sheet."""


def main() -> int:
    """Run the demo. Returns 0 if only the damaged frame failed."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument(
        "--ui", action="store_true", help="show the runs in Prefect's UI, until Ctrl-C"
    )
    arguments = parser.parse_args()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    os.environ["CVAT_FLOWS_STORAGE"] = str((OUTPUT / "storage").absolute())
    os.environ["PREFECT_HOME"] = str((OUTPUT / "prefect").absolute())
    # Prefect reads its settings when it is imported: import it only after this line.
    set_prefect_defaults()
    with ExitStack() as stack:
        from cvat_flows.deployments.local_server import local_prefect

        print("starting a Prefect server ...")
        ui = stack.enter_context(local_prefect(OUTPUT))
        sandbox = _start_sandbox(stack)
        as_expected = _annotate_all(sandbox)
        if arguments.ui:
            from cvat_flows.deployments.demo.local_deployments import local_deployments

            print("creating the deployments, and starting a worker ...")
            deployments = local_deployments(OUTPUT, host=sandbox.url, account=sandbox.admin)
            stack.enter_context(deployments)
            print(
                f"\nCVAT        {sandbox.url}/tasks (to look only; admin/admin for the API)\n"
                f"Prefect UI  {ui}\n"
                f"To start a run with the form: {ui}/deployments, annotate-task, Run, Custom run\n"
                "Press Ctrl-C to stop all servers."
            )
            _wait_for_interrupt()
        else:
            print(
                "\nThe servers end now. To look at the tasks and the failed frame in a browser: "
                "make demo-ui"
            )
    return 0 if as_expected else 1


def _start_sandbox(stack: ExitStack) -> SandboxProcess:
    from cvat_flows.deployments.sandbox.process import SandboxProcess

    print("starting the sandbox, a small CVAT-compatible server ...")
    return stack.enter_context(SandboxProcess(OUTPUT / "sandbox"))


def _annotate_all(sandbox: SandboxProcess) -> bool:
    """Create and annotate the tasks. Returns whether only the damaged frame failed."""
    from cvat_flows.tasks.cvat.client.connection import connect
    from cvat_flows.tasks.cvat.client.server import ServerSettings

    user, password = sandbox.admin
    client = connect(ServerSettings(host=sandbox.url, username=user, password=password))
    client.config.status_check_period = 0.2
    reports, evaluations = [], []
    images: list[tuple[Path, list[Box]]] = []
    for task in TASKS:
        print(f"creating the CVAT task {task.name!r} with {task.frames} images ...")
        created = create_task(client, task, OUTPUT / "images" / str(task.seed))
        if task.unreadable is not None:
            fault = {"action": "corrupt_frame", "task": created.task_id, "frame": task.unreadable}
            sandbox.set_faults([fault])
        reports.append(_annotate(client, created.task_id))
        found = read_boxes(client, created.task_id)
        truth = write_truth(created, OUTPUT / f"truth-{created.task_id}.json")
        evaluations.append(_evaluate(client, created.task_id, truth))
        shown = range(0, task.frames, task.frames // IMAGES_ON_SHEET)
        images += [(created.images[n], found[n]) for n in shown]
    sheet = save_contact_sheet(images, OUTPUT / "contact-sheet.png")
    _print_table(reports, evaluations)
    pages = _write_pages(evaluations)
    print(f"\nevaluations    {', '.join(map(str, pages))}\ncontact sheet  {sheet}")
    return all(
        len(report.failed) == (task.unreadable is not None) and not report.stopped
        for report, task in zip(reports, TASKS, strict=True)
    )


def _annotate(client: Client, task_id: int) -> RunReport:
    from cvat_flows.flows.commands.printing.run_output import TerminalProgress
    from cvat_flows.flows.in_process import run_here
    from cvat_flows.flows.parameters import AnnotateTaskParameters
    from cvat_flows.flows.run.live import LiveInputs

    finished = run_here(
        AnnotateTaskParameters(task_id=task_id, function=FUNCTION),
        LiveInputs(client=client, progress=TerminalProgress()),
    )
    return finished.report_or_raise()


def _evaluate(client: Client, task_id: int, truth: Path) -> EvaluationReport:
    """Compare the detections, which are cached by now, with what was drawn."""
    from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
    from cvat_flows.flows.in_process import evaluate_here
    from cvat_flows.flows.run.live import LiveInputs

    return evaluate_here(
        EvaluateTaskParameters(task_id=task_id, function=FUNCTION, truth_file=str(truth)),
        LiveInputs(client=client),
    )


def _write_pages(evaluations: list[EvaluationReport]) -> list[Path]:
    from cvat_flows.tasks.reports.evaluation.markdown import evaluation_markdown

    pages = []
    for report in evaluations:
        pages.append(OUTPUT / f"evaluation-{report.media.task_id}.md")
        pages[-1].write_text(evaluation_markdown(report))
    return pages


def _print_table(reports: list[RunReport], evaluations: list[EvaluationReport]) -> None:
    from rich.console import Console

    from cvat_flows.flows.commands.printing.tables import light_table
    from cvat_flows.tasks.reports.evaluation.report import number

    numbers = ("frames", "recall", "precision", "AP50-95", "frames/s")
    table = light_table("CVAT task", "shapes by label", *numbers, numbers=numbers)
    for report, evaluation in zip(reports, evaluations, strict=True):
        overall = evaluation.evaluation.overall
        table.add_row(
            f"{report.media.task_id} {report.media.name}",
            ", ".join(f"{name} {count}" for name, count in sorted(report.shapes_by_label.items())),
            f"{report.count('annotated')} of {len(report.rows)}",
            number(overall.counts.recall),
            number(overall.counts.precision),
            number(overall.ap50_95),
            f"{report.frames_per_second:.1f}",
        )
    Console().print("", table)
    for report in reports:
        for row in report.failed:
            print(f"failed: {row.error}")
    print("recall and precision: detections against the drawn boxes, same label, IoU >= 0.5")


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("stopping")


if __name__ == "__main__":
    sys.exit(main())
