"""`make smoke`: install the wheel without constraints and annotate ten frames, on each Python.

Each Python gets a new environment with the newest dependencies that the wheel allows. A sandbox of
this checkout serves the task. The commands run in an empty folder, so nothing comes from here.

The base install annotates with a small function. `make smoke EXTRA=yolo` also installs Ultralytics
and torch, which takes minutes, and annotates with the shipped YOLOv8n.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cvat_sdk import models

from aa_functions.training.shape_images import LABELS, make_shape_images
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.server import ServerSettings

VERSIONS = ("3.11", "3.12", "3.13")
"""The versions of Python that the README states."""
FRAMES = 10
FUNCTION = """
from aa_functions import DetectionFunctionSpec, label_spec, rectangle
spec = DetectionFunctionSpec(labels=[label_spec("circle", 0)])
def detect(context, image):
    return [rectangle(0, [1, 1, image.width - 1, image.height - 1])]
"""


def main() -> int:
    """Check the wheel that the command line names. Returns 0 if it works everywhere."""
    parser = argparse.ArgumentParser(prog="tests.smoke", description=__doc__)
    parser.add_argument("--extra", default="", help="extra to install, for example yolo")
    parser.add_argument("wheel", type=Path)
    arguments = parser.parse_args()
    wheel = str(arguments.wheel.absolute())
    if arguments.extra:
        wheel += f"[{arguments.extra}]"
    found = {version: find_python(version) for version in VERSIONS}
    if not any(found.values()):
        print(f"none of the Pythons {', '.join(VERSIONS)} is on PATH", file=sys.stderr)
        return 1
    failed = False
    with tempfile.TemporaryDirectory(prefix="cvat-flows-smoke-") as scratch:
        folder = Path(scratch)
        with SandboxProcess(folder / "sandbox") as sandbox:
            for version, python in found.items():
                if python is None:
                    print(f"Python {version}: not on this machine, not checked")
                    continue
                begin = time.monotonic()
                work = folder / version
                work.mkdir()
                problem = check(python, wheel, work, sandbox)
                failed = failed or bool(problem)
                verdict = problem or f"{FRAMES} frames annotated"
                print(f"Python {version}: {verdict} ({time.monotonic() - begin:.0f} s)", flush=True)
    return int(failed)


def find_python(version: str) -> str | None:
    """Return the path of this Python: the one on PATH, or one that pyenv has installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}")]
    candidates += map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True))
    for path in filter(None, candidates):
        # A shim of pyenv's may be there without its Python.
        call = [path, "-c", "import sys; print(sys.executable)"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def check(python: str, wheel: str, work: Path, sandbox: SandboxProcess) -> str:
    """Return what is wrong; "" if the wheel works with this Python."""
    (work / "box.py").write_text(FUNCTION)
    function = "shapes" if "yolo" in wheel.partition(".whl")[2] else "box.py"
    environment = work / "environment"
    # Without this checkout, which pip would take for the installed package.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for step in (
        [python, "-m", "venv", str(environment)],
        [str(environment / "bin" / "pip"), "install", "--quiet", wheel],
    ):
        done = subprocess.run(
            step, cwd=work, env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"{' '.join(step[1:4])} failed: {last_line(done.stderr)}"
    task = make_task(work / "pictures", sandbox)
    user, password = sandbox.admin
    done = subprocess.run(
        [str(environment / "bin" / "cvat-flows"), "annotate", str(task), "-f", function, "--json"],
        cwd=work,
        env={
            **variables,
            "CVAT_HOST": sandbox.url,
            "CVAT_USER": user,
            "CVAT_PASSWORD": password,
            "CVAT_FLOWS_STORAGE": str(work / "storage"),
            "PREFECT_HOME": str(work / "prefect"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"annotate ended with {done.returncode}: {last_line(done.stderr)}"
    frames = json.loads(done.stdout)["frames"]
    return "" if frames["annotated"] == FRAMES else f"annotate said {frames}"


def make_task(folder: Path, sandbox: SandboxProcess) -> int:
    """Create a CVAT task of drawn pictures and return its id."""
    folder.mkdir()
    images = []
    for number, made in enumerate(make_shape_images(FRAMES, seed=3)):
        images.append(folder / f"{number:02d}.jpg")
        made.image.save(images[-1])
    user, password = sandbox.admin
    client = connect(ServerSettings(host=sandbox.url, username=user, password=password))
    client.config.status_check_period = 0.2
    labels = [models.PatchedLabelRequest(name=name) for name in LABELS]
    spec = models.TaskWriteRequest(name="smoke", labels=labels)
    return int(client.tasks.create_from_data(spec=spec, resources=images).id)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return (text.strip().splitlines() or ["no output"])[-1]


if __name__ == "__main__":
    sys.exit(main())
