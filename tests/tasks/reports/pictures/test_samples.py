"""Which frames of a run are shown; their number is limited."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from cvat_flows.tasks.fetch.images import LoadedFrame, Picture
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.reports.pictures.outlines import Outline
from cvat_flows.tasks.reports.pictures.samples import SamplePictures
from tests.tasks.reports.report_factory import annotated, failed, media_of, names_of

MEDIA = media_of(names_of(1000))


def loaded(number: int, *, cached: bool = False) -> LoadedFrame:
    image = Image.new("RGB", (64, 48), (number % 256, 0, 0))
    picture = None if cached else Picture(image=image, content_hash="x", decode=lambda: image)
    return LoadedFrame(outcome=Outcome(frame=MEDIA.frame(number)), picture=picture)


def none(_: Outcome) -> Sequence[Outline]:
    return ()


def test_frames_are_spread_evenly() -> None:
    samples = SamplePictures(numbers=range(1000), max_count=10)
    for n in range(1000):
        samples.add_images([loaded(n)])
        samples.add_outcome(annotated(MEDIA.frame(n)), none)
    assert [sample.frame.number for sample in samples.samples] == list(range(0, 1000, 100))


def test_all_frames_of_a_short_run_are_shown() -> None:
    samples = SamplePictures(numbers=[3, 8, 20], max_count=10)
    samples.add_images([loaded(n) for n in (3, 8, 20, 500)])
    for n in (3, 8, 20, 500):
        samples.add_outcome(annotated(MEDIA.frame(n)), none)
    assert [sample.frame.number for sample in samples.samples] == [3, 8, 20]


def test_a_frame_without_an_outcome_is_not_shown() -> None:
    samples = SamplePictures(numbers=range(10), max_count=10)
    samples.add_images([loaded(n) for n in range(10)])
    samples.add_outcome(failed(MEDIA.frame(4), "boom"), none)
    assert [(s.frame.number, s.error) for s in samples.samples] == [(4, "boom")]


def test_images_of_cached_frames_are_fetched_for_empty_parts() -> None:
    samples = SamplePictures(numbers=range(100), max_count=4)
    samples.add_images([loaded(n, cached=n != 60) for n in range(100)])
    for n in range(100):
        samples.add_outcome(annotated(MEDIA.frame(n)), none)
    assert [sample.frame.number for sample in samples.samples] == [60]
    asked: list[int] = []

    def fetch(frame: Frame) -> Image.Image | None:
        asked.append(frame.number)
        return None if frame.number == 25 else Image.new("RGB", (64, 48))

    samples.fetch_missing(fetch, timeout=60)
    assert sorted(asked) == [0, 25, 75]
    assert [sample.frame.number for sample in samples.samples] == [0, 60, 75]


def test_nothing_is_fetched_after_the_timeout() -> None:
    samples = SamplePictures(numbers=range(10), max_count=4)
    for n in range(10):
        samples.add_outcome(annotated(MEDIA.frame(n)), none)
    samples.fetch_missing(lambda frame: Image.new("RGB", (8, 8)), timeout=-1)
    assert samples.samples == []


def test_an_image_that_cannot_be_resized_is_left_out() -> None:
    class Broken(Image.Image):
        def resize(self, *_: object, **__: object) -> Image.Image:
            raise ValueError("no")

    samples = SamplePictures(numbers=range(2), max_count=2)
    broken = Broken()
    picture = Picture(image=broken, content_hash="x", decode=lambda: broken)
    bad = LoadedFrame(outcome=Outcome(frame=MEDIA.frame(0)), picture=picture)
    samples.add_images([bad, loaded(1)])
    for n in (0, 1):
        samples.add_outcome(annotated(MEDIA.frame(n)), none)
    assert [sample.frame.number for sample in samples.samples] == [1]
