"""A failed run in both of Prefect's UIs: the failed frames, their images, links to CVAT, Retry.

Each page is tested with the light and with the dark colour scheme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cvat_flows.tasks.model.text import WORD_JOINER, ZERO_WIDTH_SPACE, shorten_name
from tests.support.waiting import wait_until
from tests.ui.conftest import HOSTILE_ERROR, HOSTILE_NAME, Installation

pytestmark = pytest.mark.ui

PAGE_TIMEOUT = 120
"""In seconds, for a text or an image to appear."""
UIS = ["v2", "v1"]
SENTENCE = (
    "9 of 12 frames annotated, 3 failed (1 unreadable, 1 function error, 1 invalid output): "
    f"frame 3 img_0003.jpg, frame 5 {shorten_name(HOSTILE_NAME)}, frame 8 img_0008.jpg"
)


@pytest.fixture(scope="module")
def failed_run(installation: Installation) -> Any:
    """A run in which three frames failed."""
    return installation.annotate()


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page. The test fails if a script from a name or an error runs, or loads a URL."""
    context = browser.new_context(
        viewport={"width": 1500, "height": 1000}, color_scheme=request.param
    )
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT * 1000)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    yield page
    context.close()
    assert not [url for url in requested if "evil" in url or url.endswith("/x")]


def text_of(page: Any) -> str:
    """Return the visible text of the page on one line."""
    text = str(page.inner_text("body")).replace(WORD_JOINER, "").replace(ZERO_WIDTH_SPACE, "")
    return " ".join(text.split())


def wait_for_text(page: Any, *words: str) -> str:
    """Wait until the page shows all these words, and return its text.

    V2 draws a page several times.
    """
    text = wait_until(
        lambda: found if all(w in (found := text_of(page)) for w in words) else None,
        what=f"{words} on {page.url}",
        seconds=PAGE_TIMEOUT,
    )
    return str(text)


def image_widths(page: Any, count: int) -> list[int]:
    """Wait until `count` `data:` images have loaded, and return their natural widths in pixels."""

    def widths() -> Any:
        found: list[int] = page.eval_on_selector_all(
            "img[src^='data:']", "images => images.map(image => image.naturalWidth)"
        )
        return found if len(found) == count and all(found) else None

    return list(wait_until(widths, what=f"{count} images on {page.url}", seconds=PAGE_TIMEOUT))


def links_of(page: Any, pattern: str, at_least: int = 0) -> list[str]:
    """Wait for `at_least` links whose URL matches, and return them.

    Links appear later than the text.
    """
    matching: list[str] = []

    def enough() -> bool:
        found = page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        matching[:] = [address for address in found if re.search(pattern, address)]
        return len(matching) >= at_least

    wait_until(enough, what=f"links on {page.url}", seconds=PAGE_TIMEOUT, describe=lambda: matching)
    return matching


def open_artifact(page: Any, installation: Installation, ui: str, artifact: Any) -> None:
    page.goto(f"{installation.base(ui)}/artifacts/artifact/{artifact.id}")


@pytest.mark.parametrize("ui", UIS)
def test_the_list_of_runs_names_the_task_and_the_function(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    assert failed_run.state.message == SENTENCE
    page.goto(f"{installation.base(ui)}/runs")
    wait_for_text(page, 'annotate 1 "street-cams-04" · flaky')
    wait_for_text(page, "cvat-task:1", "project:traffic", "function:flaky")


@pytest.mark.parametrize("ui", UIS)
def test_the_log_of_the_run_names_the_failed_frames(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    page.goto(f"{installation.base(ui)}/runs/flow-run/{failed_run.id}?tab=Logs")
    report = installation.artifact(failed_run, "failed-frames")
    text = wait_for_text(
        page, "annotating task 1: 12 frames to do", "frame 8 · img_0008.jpg", str(report.id)
    )
    assert links_of(page, f"/v2/artifacts/artifact/{report.id}$", 1)
    assert "Traceback" not in text


@pytest.mark.parametrize("ui", UIS)
def test_failed_frames_are_shown_with_their_images(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    artifact = installation.artifact(failed_run, "failed-frames")
    open_artifact(page, installation, ui, artifact)
    wait_for_text(
        page, "Failed frames of", "3 failed (1 unreadable, 1 function error, 1 invalid output)"
    )
    wait_for_text(
        page, shorten_name(HOSTILE_NAME), HOSTILE_ERROR, "leaves the image", "img_0008.jpg"
    )
    assert all(width > 80 for width in image_widths(page, 2))
    # The images are large enough to see.
    shown = page.eval_on_selector_all("img[src^='data:']", "all => all.map(one => one.clientWidth)")
    assert all(width > 80 for width in shown)
    job = r"/tasks/1/jobs/\d+\?frame="
    assert [address.rpartition("=")[2] for address in links_of(page, job, 3)] == ["3", "5", "8"]
    assert all(address.startswith(installation.sandbox.url) for address in links_of(page, job))
    assert not links_of(page, "evil")


@pytest.mark.parametrize("ui", UIS)
def test_a_failed_frame_links_to_its_task_run_and_its_artifact(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    artifact = installation.artifact(failed_run, "failed-frames")
    open_artifact(page, installation, ui, artifact)
    wait_for_text(page, "Failed frames of", "img_0008.jpg")
    addresses = links_of(page, "/runs/task-run/", 3)
    assert len(addresses) == 3
    assert all(address.startswith(f"{installation.base(ui)}/runs/") for address in addresses)
    page.goto(addresses[0])
    wait_for_text(page, "detect frame 3 · img_0003.jpg")
    run_id = addresses[0].rpartition("/")[2]
    (own,) = [one for one in installation.artifacts(failed_run) if str(one.task_run_id) == run_id]
    open_artifact(page, installation, ui, own)
    wait_for_text(page, "Open the frame in CVAT", HOSTILE_ERROR, "cvat-flows preview 1 --function")
    wait_for_text(page, "Traceback (most recent call last)")
    assert image_widths(page, 1) == [320]
    (address,) = links_of(page, "frame=3$", 1)
    assert address.startswith(f"{installation.sandbox.url}/tasks/1/jobs/")


@pytest.mark.parametrize("ui", UIS)
def test_the_report_has_its_charts(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    open_artifact(page, installation, ui, installation.artifact(failed_run, "report"))
    wait_for_text(
        page, "Some of the frames", "9 created, 0 already there, 0 deleted", "cvat-flows annotate 1"
    )
    assert all(width > 300 for width in image_widths(page, 4))


@pytest.mark.parametrize("ui", UIS)
def test_the_progress_artifact_is_complete(
    installation: Installation, failed_run: Any, page: Any, ui: str
) -> None:
    (bar,) = [one for one in installation.artifacts(failed_run) if one.type == "progress"]
    open_artifact(page, installation, ui, bar)
    wait_for_text(page, "12 of 12 frames, 3 failed, ended")


@pytest.mark.parametrize("ui", UIS)
@pytest.mark.parametrize("page", ["light"], indirect=True)
def test_retry_annotates_the_failed_frames(installation: Installation, page: Any, ui: str) -> None:
    clear_cvat(installation)
    run = installation.annotate()
    assert run.state.is_failed()
    before = shapes_in_cvat(installation)
    assert len(before) == 9
    installation.marker.unlink()
    installation.sandbox.clear_faults()
    try:
        page.goto(f"{installation.base(ui)}/runs/flow-run/{run.id}")
        wait_for_text(page, "Failed")
        press_retry(page, ui)
        ended = wait_until(lambda: completed(installation, run), what="the end of the retry")
        assert ended.message == "3 of 3 frames annotated, 9 skipped (9 done before)"
        page.reload()
        wait_for_text(page, "Completed", 'annotate 1 "street-cams-04" · flaky')
    finally:
        installation.marker.touch()
        corrupt = {"action": "corrupt_frame", "task": installation.task.id, "frame": 8}
        installation.sandbox.set_faults([corrupt])
    after = shapes_in_cvat(installation)
    assert set(before.items()) < set(after.items())
    assert sorted(after.values()) == list(range(12))


def press_retry(page: Any, ui: str) -> None:
    if ui == "v1":
        page.get_by_role("button", name="Retry").first.click()
        page.get_by_role("button", name="Retry").last.click()
        return
    page.locator("button[aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name="Retry").click()
    page.get_by_role("alertdialog").or_(page.get_by_role("dialog")).get_by_role(
        "button", name="Retry"
    ).click()


def completed(installation: Installation, run: Any) -> Any:
    state = installation.state_of(run)
    return state if state.is_completed() else None


def shapes_in_cvat(installation: Installation) -> dict[int, int]:
    """Return the frame numbers of the shapes in CVAT, by shape ID."""
    return {shape.id: shape.frame for shape in installation.task.get_annotations().shapes}


def clear_cvat(installation: Installation) -> None:
    """Remove the annotations and the manifest, as if nothing had been annotated yet."""
    installation.task.remove_annotations()
    for path in installation.marker.with_name("storage").rglob("*"):
        if path.is_file() and "results" not in path.parts:
            path.unlink()
