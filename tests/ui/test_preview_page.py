"""The preview page in a browser. It is one file without external resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cvat_flows.tasks.matching.result import MatchRow
from cvat_flows.tasks.reports.pictures.outlines import outlines_of
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.pictures.thumbnails import PictureSize, make_thumbnail
from cvat_flows.tasks.reports.preview import preview_page
from tests.tasks.reports.report_factory import (
    HOSTILE,
    annotated,
    failed,
    media_of,
    noise,
    report_of,
)

pytestmark = pytest.mark.ui

SCORES = (0.2, 0.5, 0.9)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media = media_of(HOSTILE, task=HOSTILE[3])
    outcomes = []
    samples = []
    for n in range(len(HOSTILE)):
        frame = media.frame(n)
        outcome = annotated(frame, 3)
        found = outcome.annotations or ()
        shapes = tuple(evolve(a, score=score) for a, score in zip(found, SCORES, strict=True))
        outcome = evolve(outcome, annotations=shapes)
        if n == 1:
            outcome = failed(frame, HOSTILE[4])
        outcomes.append(outcome)
        samples.append(
            Sample(
                frame=frame,
                picture=make_thumbnail(noise(), PictureSize(max_side=400, max_bytes=20_000)),
                outlines=tuple(outlines_of((shape, HOSTILE[i]) for i, shape in enumerate(shapes))),
                error=outcome.failure.error if outcome.failure else "",
            )
        )
    match = MatchRow(
        kind="label",
        function=HOSTILE[3],
        function_type="any",
        task=None,
        task_type=None,
        status="missing",
        message=HOSTILE[4],
    )
    report = report_of(media, outcomes, match=(match,), command=HOSTILE[3], dry_run=True)
    path = tmp_path_factory.mktemp("preview") / "preview.html"
    path.write_text(preview_page(report, samples, threshold=0.4))
    return path


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1200, "height": 900}, color_scheme=request.param
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on(
        "request",
        lambda request: problems.append(request.url) if request.url.startswith("http") else None,
    )
    page.goto(page_file.as_uri())
    yield page
    context.close()
    assert problems == []


def visible_shapes(page: Any) -> int:
    count: int = page.eval_on_selector_all(
        ".picture g", "groups => groups.filter(group => group.style.display !== 'none').length"
    )
    return count


def test_every_image_is_shown_with_its_boxes(page: Any) -> None:
    widths = page.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert widths == [400] * len(HOSTILE)
    box = page.locator("figure").first.locator("svg")
    picture = page.locator("figure").first.locator("img")
    assert box.bounding_box() == picture.bounding_box()
    assert page.locator("figure").first.locator("polygon").count() == 3


def test_the_slider_hides_shapes_below_it(page: Any) -> None:
    assert page.locator("#level").inner_text() == "0.40"
    assert visible_shapes(page) == 2 * len(HOSTILE)
    assert f"{2 * len(HOSTILE)} of {3 * len(HOSTILE)} shapes shown" in page.inner_text("#shown")
    page.locator("#threshold").fill("0.6")
    assert page.locator("#level").inner_text() == "0.60"
    assert visible_shapes(page) == len(HOSTILE)
    page.locator("#threshold").fill("0")
    assert visible_shapes(page) == 3 * len(HOSTILE)


def test_labels_can_be_switched_off(page: Any) -> None:
    page.locator("#threshold").fill("0")
    page.locator("#chips input").first.uncheck()
    assert visible_shapes(page) == 2 * len(HOSTILE)


def test_names_and_errors_are_shown_as_text(page: Any) -> None:
    text = page.inner_text("body")
    for name in (HOSTILE[0], HOSTILE[3], HOSTILE[4], HOSTILE[10], HOSTILE[16].strip()):
        assert name in text
    assert page.locator("figcaption b, figcaption script, img[src=x]").count() == 0
    links = page.eval_on_selector_all("a", "all => all.map(one => one.href)")
    assert {address.partition("/tasks/")[0] for address in links} == {"https://cvat.example.com"}


def test_a_click_enlarges_an_image(page: Any) -> None:
    figure = page.locator("figure").first
    before = figure.bounding_box()["width"]
    figure.locator(".picture").click()
    assert figure.bounding_box()["width"] > 2 * before
