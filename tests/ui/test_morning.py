"""The minute after the nightly run, in a browser: what failed, its picture, CVAT, the retry.

Both UIs of Prefect are looked at; light and dark are the same page to a program, so the pictures
of both were looked at by people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cvat_flows.tasks.model.text import WORD_JOINER, ZERO_WIDTH_SPACE, shorten_name
from tests.support.waiting import wait_until
from tests.ui.conftest import HOSTILE_ERROR, HOSTILE_NAME, Morning

pytestmark = pytest.mark.ui

PATIENCE = 120
"""Seconds until words that should be on a page are missed."""
UIS = ["v2", "v1"]
SENTENCE = (
    "9 of 12 frames annotated, 3 failed (1 unreadable, 1 function error, 1 invalid output): "
    f"frame 3 img_0003.jpg, frame 5 {shorten_name(HOSTILE_NAME)}, frame 8 img_0008.jpg"
)


@pytest.fixture(scope="module")
def failed_run(morning: Morning) -> Any:
    """The nightly run."""
    return morning.annotate()


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page on which no script from a name or an error may run, and none may call out."""
    context = browser.new_context(
        viewport={"width": 1500, "height": 1000}, color_scheme=request.param
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("dialog", lambda dialog: pytest.fail(f"a script has run: {dialog.message}"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert not [address for address in asked if "evil" in address or address.endswith("/x")]


def text_of(page: Any) -> str:
    """What is to be read on the page, on one line."""
    text = str(page.inner_text("body")).replace(WORD_JOINER, "").replace(ZERO_WIDTH_SPACE, "")
    return " ".join(text.split())


def says(page: Any, *words: str) -> str:
    """The page's text, once it has all these words: V2 draws a page more than once."""
    text = wait_until(
        lambda: found if all(w in (found := text_of(page)) for w in words) else None,
        what=f"{words} on {page.url}",
        seconds=PATIENCE,
    )
    return str(text)


def pictures_of(page: Any, count: int) -> list[int]:
    """Natural widths in pixels of the page's `data:` pictures, once they are `count` unbroken."""

    def widths() -> Any:
        found: list[int] = page.eval_on_selector_all(
            "img[src^='data:']", "images => images.map(image => image.naturalWidth)"
        )
        return found if len(found) == count and all(found) else None

    return list(wait_until(widths, what=f"{count} pictures on {page.url}", seconds=PATIENCE))


def links_of(page: Any, pattern: str, at_least: int = 0) -> list[str]:
    """Addresses that match, once there are enough of them: the text comes before the links."""
    matching: list[str] = []

    def enough() -> bool:
        found = page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        matching[:] = [address for address in found if re.search(pattern, address)]
        return len(matching) >= at_least

    wait_until(enough, what=f"links on {page.url}", seconds=PATIENCE, story=lambda: matching)
    return matching


def open_artifact(page: Any, morning: Morning, ui: str, artifact: Any) -> None:
    page.goto(f"{morning.base(ui)}/artifacts/artifact/{artifact.id}")


@pytest.mark.parametrize("ui", UIS)
def test_the_list_of_runs_says_what_was_annotated(
    morning: Morning, failed_run: Any, page: Any, ui: str
) -> None:
    assert failed_run.state.message == SENTENCE
    page.goto(f"{morning.base(ui)}/runs")
    says(page, 'annotate 1 "street-cams-04" · bad_day')
    says(page, "cvat-task:1", "project:traffic", "function:bad_day")


@pytest.mark.parametrize("ui", UIS)
def test_the_run_says_what_failed(morning: Morning, failed_run: Any, page: Any, ui: str) -> None:
    page.goto(f"{morning.base(ui)}/runs/flow-run/{failed_run.id}?tab=Logs")
    report = morning.artifact(failed_run, "failed-frames")
    text = says(
        page, "annotating task 1: 12 frames to do", "frame 8 · img_0008.jpg", str(report.id)
    )
    assert links_of(page, f"/v2/artifacts/artifact/{report.id}$", 1)
    assert "Traceback" not in text


@pytest.mark.parametrize("ui", UIS)
def test_failed_frames_are_seen_with_their_pictures(
    morning: Morning, failed_run: Any, page: Any, ui: str
) -> None:
    artifact = morning.artifact(failed_run, "failed-frames")
    open_artifact(page, morning, ui, artifact)
    says(page, "Failed frames of", "3 failed (1 unreadable, 1 function error, 1 invalid output)")
    says(page, shorten_name(HOSTILE_NAME), HOSTILE_ERROR, "leaves the image", "img_0008.jpg")
    assert all(width > 80 for width in pictures_of(page, 2))
    # No picture takes all of its column, or none of it.
    shown = page.eval_on_selector_all("img[src^='data:']", "all => all.map(one => one.clientWidth)")
    assert all(width > 80 for width in shown)
    job = r"/tasks/1/jobs/\d+\?frame="
    assert [address.rpartition("=")[2] for address in links_of(page, job, 3)] == ["3", "5", "8"]
    assert all(address.startswith(morning.sandbox.url) for address in links_of(page, job))
    assert not links_of(page, "evil")


@pytest.mark.parametrize("ui", UIS)
def test_a_failed_frame_leads_to_its_task_run_and_its_page(
    morning: Morning, failed_run: Any, page: Any, ui: str
) -> None:
    artifact = morning.artifact(failed_run, "failed-frames")
    open_artifact(page, morning, ui, artifact)
    says(page, "Failed frames of", "img_0008.jpg")
    addresses = links_of(page, "/runs/task-run/", 3)
    assert len(addresses) == 3
    assert all(address.startswith(f"{morning.base(ui)}/runs/") for address in addresses)
    page.goto(addresses[0])
    says(page, "detect frame 3 · img_0003.jpg")
    run_id = addresses[0].rpartition("/")[2]
    (own,) = [one for one in morning.artifacts(failed_run) if str(one.task_run_id) == run_id]
    open_artifact(page, morning, ui, own)
    says(page, "Open the frame in CVAT", HOSTILE_ERROR, "cvat-flows preview 1 --function-file")
    says(page, "Traceback (most recent call last)")
    assert pictures_of(page, 1) == [320]
    (address,) = links_of(page, "frame=3$", 1)
    assert address.startswith(f"{morning.sandbox.url}/tasks/1/jobs/")


@pytest.mark.parametrize("ui", UIS)
def test_the_report_has_its_charts(morning: Morning, failed_run: Any, page: Any, ui: str) -> None:
    open_artifact(page, morning, ui, morning.artifact(failed_run, "report"))
    says(page, "Some of the frames", "9 created, 0 were there, 0 deleted", "cvat-flows annotate 1")
    assert all(width > 300 for width in pictures_of(page, 4))


@pytest.mark.parametrize("ui", UIS)
def test_the_progress_is_there(morning: Morning, failed_run: Any, page: Any, ui: str) -> None:
    (bar,) = [one for one in morning.artifacts(failed_run) if one.type == "progress"]
    open_artifact(page, morning, ui, bar)
    says(page, "12 of 12 frames, 3 failed, ended")


@pytest.mark.parametrize("ui", UIS)
@pytest.mark.parametrize("page", ["light"], indirect=True)
def test_pressing_retry_does_what_failed(morning: Morning, page: Any, ui: str) -> None:
    clear_cvat(morning)
    run = morning.annotate()
    assert run.state.is_failed()
    before = shapes_in_cvat(morning)
    assert len(before) == 9
    morning.marker.unlink()
    morning.sandbox.clear_faults()
    try:
        page.goto(f"{morning.base(ui)}/runs/flow-run/{run.id}")
        says(page, "Failed")
        press_retry(page, ui)
        ended = wait_until(lambda: completed(morning, run), what="the end of the retry")
        assert ended.message == "3 of 3 frames annotated, 9 skipped (9 done before)"
        page.reload()
        says(page, "Completed", 'annotate 1 "street-cams-04" · bad_day')
    finally:
        morning.marker.touch()
        corrupt = {"action": "corrupt_frame", "task": morning.task.id, "frame": 8}
        morning.sandbox.set_faults([corrupt])
    after = shapes_in_cvat(morning)
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


def completed(morning: Morning, run: Any) -> Any:
    state = morning.state_of(run)
    return state if state.is_completed() else None


def shapes_in_cvat(morning: Morning) -> dict[int, int]:
    """Frame numbers of the shapes that CVAT holds, by id."""
    return {shape.id: shape.frame for shape in morning.task.get_annotations().shapes}


def clear_cvat(morning: Morning) -> None:
    """As if nothing had been annotated yet, for CVAT and for the manifest."""
    morning.task.remove_annotations()
    for path in morning.marker.with_name("storage").rglob("*"):
        if path.is_file() and "results" not in path.parts:
            path.unlink()
