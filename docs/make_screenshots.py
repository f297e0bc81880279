"""Take the screenshots of docs/images in Debian's chromium, from a run of the demo.

    python docs/make_screenshots.py

With `--all FOLDER` it also takes pictures of the form, the run, the failed frames, the report and a
sweep in both of Prefect's UIs and both colour schemes, to look at.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).with_name("images")
QUALITY = 85
FUNCTION = '''
"""The shipped YOLOv8n on a bad day: some frames fail. Boxes move, so that none is there already."""
from aa_functions import rectangle, shapes

spec = shapes.spec


def detect(context, image):
    number = int(context.frame_name[-8:-4])
    if number == 3:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if number == 9:
        return [rectangle(0, [image.width - 90, 150, image.width + 60, 330], score=0.8)]
    found = shapes.detect(context, image)
    for box in found:
        box.points = [max(0, one - 1) for one in box.points]
    return found
'''
PARAMETERS = {"advanced": {"geometry": "fail", "max_failed_frames": 5, "frames_per_run": 10}}


class Prefect:
    """The API of the demo's Prefect server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/api", timeout=60, trust_env=False)

    def get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()

    def deployment(self, name: str) -> str:
        return str(self.get(f"/deployments/name/{name}/{name}")["id"])

    def run(self, name: str, **parameters: Any) -> str:
        """Start a run of a deployment, wait for its end and return its id."""
        path = f"/deployments/{self.deployment(name)}/create_flow_run"
        run = self.post(path, parameters=parameters)["id"]
        while self.get(f"/flow_runs/{run}")["state"]["type"] not in ("COMPLETED", "FAILED"):
            time.sleep(1)
        return str(run)

    def artifact(self, run: str, what: str) -> str:
        rows = self.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
        (found,) = [row["id"] for row in rows if f"-{what}-" in (row["key"] or "")]
        return str(found)


def take(browser: Browser, url: str, target: Path, *, scheme: str, height: int = 1100) -> None:
    """Take a picture of a page."""
    context = browser.new_context(
        viewport={"width": 1180, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(url, wait_until="networkidle")
    page.wait_for_timeout(3000)  # V2 draws a page several times
    raw = target.with_suffix(".png")
    page.screenshot(path=raw)
    context.close()
    if target.suffix == ".jpg":
        Image.open(raw).convert("RGB").save(target, quality=QUALITY)
        raw.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        demo = subprocess.Popen(
            [sys.executable, "-u", "-m", "cvat_flows.deployments.demo", "--ui"],
            cwd=place,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert demo.stdout is not None
            text = ""
            while "Ctrl-C" not in text:
                line = demo.stdout.readline()
                assert line, f"the demo has ended: {text}"
                text += line
            (url,) = re.findall(r"Prefect UI +(\S+)", text)
            picture(Prefect(url), place, folder)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(120)


def picture(prefect: Prefect, place: Path, folder: Path | None) -> None:
    """Start runs, and take pictures of their pages."""
    function = place / "shapes_day.py"
    function.write_text(FUNCTION)
    run = prefect.run("annotate-task", task_id=1, function=str(function), **PARAMETERS)
    failed = f"artifacts/artifact/{prefect.artifact(run, 'failed-frames')}"
    report = f"artifacts/artifact/{prefect.artifact(run, 'report')}"
    form = f"deployments/deployment/{prefect.deployment('annotate-task')}/run"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        v2 = f"{prefect.url}/v2"
        take(browser, f"{v2}/{failed}", IMAGES / "failed-frames.jpg", scheme="light")
        take(browser, f"{v2}/{report}", IMAGES / "report.jpg", scheme="dark")
        take(browser, f"{v2}/{form}", IMAGES / "form.jpg", scheme="light")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            sweep = prefect.run("annotate-new-tasks")
            pages = {
                "form": form,
                "run": f"runs/flow-run/{run}",
                "artifacts": f"runs/flow-run/{run}?tab=Artifacts",
                "failed": failed,
                "report": report,
                "sweep": f"runs/flow-run/{sweep}",
            }
            for name, path in pages.items():
                for ui, base in (("v1", prefect.url), ("v2", v2)):
                    for scheme in ("light", "dark"):
                        target = folder / f"{name}-{ui}-{scheme}.png"
                        take(browser, f"{base}/{path}", target, scheme=scheme)
        browser.close()


if __name__ == "__main__":
    main()
