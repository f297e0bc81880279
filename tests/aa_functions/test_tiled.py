"""`aa_functions.tiled`: tiles in batches, merged; the inner function decides what it is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aa_functions import (
    BadFunctionError,
    DetectionFunctionSpec,
    FunctionReferenceError,
    encode_mask,
    label_spec,
    load_function,
    mask,
    polygon,
    rectangle,
    tag,
)
from aa_functions.tiled import create
from aa_functions.wrappers.tiles import tiles_of

SPEC = DetectionFunctionSpec(labels=[label_spec("light", 0), label_spec("scene", 1, type="tag")])

INNER = """
from aa_functions import DetectionFunctionSpec, label_spec, rectangle

{extra}
def create(score=0.5):
    class Bright:
        spec = DetectionFunctionSpec(labels=[label_spec("light", 0)])

        def detect(self, context, image):
            box = image.convert("L").point(lambda value: 255 * (value > 100)).getbbox()
            return [rectangle(0, [float(v) for v in box], score=score)] if box else []

    return Bright()
"""


def find_light(context: Any, image: Image.Image, kind: str = "rectangle") -> list[Any]:
    """Return what is bright, as one shape, and how bright the picture is, as a tag."""
    bright = np.asarray(image.convert("L")) > 100
    found: list[Any] = [tag(1, score=float(bright.mean()))]
    if bright.any():
        rows, columns = np.nonzero(bright)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        box = [float(value) for value in (left, top, right, bottom)]
        if kind == "mask":
            found.append(mask(0, encode_mask(bright), score=0.5))
        elif kind == "polygon":
            found.append(polygon(0, [box[n] for n in (0, 1, 2, 1, 2, 3, 0, 3)], score=0.5))
        else:
            found.append(rectangle(0, box, score=0.5))
    return found


def inner(**parts: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"spec": SPEC, "detect": find_light, **parts})


def picture(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (1000, 700)) -> Image.Image:
    image = Image.new("RGB", size)
    for box in boxes:
        image.paste((255, 255, 255), box)
    return image


def boxes_of(found: list[Any]) -> list[list[float]]:
    return sorted(one.points for one in found if "points" in one)


@pytest.mark.parametrize("size", [(100, 100), (640, 480), (641, 1280), (4000, 3000), (70, 2000)])
@pytest.mark.parametrize("overlap", [0, 0.2, 0.9])
def test_tiles_cover_the_image_and_overlap(size, overlap):
    tiles = tiles_of(*size, tile=640, overlap=overlap)
    assert len({(one.left, one.top) for one in tiles}) == len(tiles)
    for axis, length in enumerate(size):
        spans = sorted(
            {((one.left, one.top)[axis], (one.width, one.height)[axis]) for one in tiles}
        )
        assert spans[0][0] == 0
        assert sum(spans[-1]) == length
        assert {span for _, span in spans} == {min(640, length)}
        for (start, span), (following, _) in pairwise(spans):
            assert start + span - following >= overlap * 640


def test_small_things_are_found_on_tiles_and_large_ones_on_the_whole(make_context):
    function = create(inner(), tile=320, overlap=0.2)
    small = (400, 300, 420, 310)
    assert boxes_of(function.detect(make_context(), picture(small))) == [[*map(float, small)]]
    large = (100, 100, 900, 600)
    assert boxes_of(function.detect(make_context(), picture(large))) == [[*map(float, large)]]
    parts = create(inner(), tile=320, overlap=0.2, whole=False)
    assert len(boxes_of(parts.detect(make_context(), picture(large)))) > 1


@pytest.mark.parametrize("kind", ["rectangle", "polygon", "mask"])
def test_an_object_between_two_tiles_is_one(make_context, kind):
    def detect(context, image):
        return find_light(context, image, kind)

    function = create(inner(detect=detect), tile=400, overlap=0.3, whole=False)
    box = (330, 100, 390, 160)  # in the first tile and, cut, in the second one
    (shape,) = [one for one in function.detect(make_context(), picture(box)) if "points" in one]
    assert shape.type.value == kind
    if kind == "mask":
        wanted = np.zeros((700, 1000), dtype=bool)
        wanted[100:160, 330:390] = True
        assert shape.points == encode_mask(wanted)
    elif kind == "rectangle":
        assert shape.points == [330, 100, 390, 160]
    else:
        assert set(shape.points) == {330, 100, 390, 160}


def test_tags_come_from_the_whole_image(make_context):
    image = picture((0, 0, 320, 320))
    (whole,) = [
        one
        for one in create(inner(), tile=320).detect(make_context(), image)
        if "points" not in one
    ]
    assert whole.score == pytest.approx(320 * 320 / 700_000)
    (best,) = [
        one
        for one in create(inner(), tile=320, whole=False).detect(make_context(), image)
        if "points" not in one
    ]
    assert best.score == 1.0


def test_the_tiles_of_several_images_share_batches_of_a_limited_size(make_context):
    calls: list[int] = []

    def detect_batch(contexts, images):
        calls.append(len(images))
        return (iter(find_light(*pair)) for pair in zip(contexts, images, strict=True))

    function = create(inner(detect_batch=detect_batch), tile=320, batch=10)
    images = [picture((10 * n, 10, 10 * n + 9, 19)) for n in range(3)]
    contexts = [make_context(frame_name=str(n)) for n in range(3)]
    found = function.detect_batch(contexts, images)
    tiles = 1 + len(tiles_of(1000, 700, tile=320, overlap=0.2))
    assert calls == [10] * (3 * tiles // 10) + [3 * tiles % 10]
    assert found == [function.detect(*pair) for pair in zip(contexts, images, strict=True)]
    assert create(inner()).detect_batch is None


def test_each_tile_has_the_context_of_its_frame(make_context):
    seen = set()

    def detect(context, image):
        seen.add((context, image.size))
        return []

    context = make_context(conf_threshold=0.3)
    create(inner(detect=detect), tile=320).detect(context, picture())
    assert seen == {(context, (1000, 700)), (context, (320, 320))}


def test_an_image_that_is_not_larger_than_a_tile_is_seen_once(make_context, caplog):
    sizes = []

    def detect(context, image):
        sizes.append(image.size)
        return find_light(context, image)

    function = create(inner(detect=detect), tile=640, whole=False)
    for size in ((640, 480), (300, 200)):
        assert len(function.detect(make_context(), picture((5, 5, 9, 9), size=size))) == 2
    assert sizes == [(640, 480), (300, 200)]
    assert [record.getMessage() for record in caplog.records] == [
        "An image of 640x480 is not larger than a tile of 640: such images are not divided. "
        "Choose a smaller tile to divide them."
    ]


def test_a_turned_picture_is_turned_once_and_deep_grey_is_scaled_as_a_whole(make_context):
    shapes = []

    def detect(context, image):
        shapes.append((image.mode, image.size, image.getexif().get(0x0112, 1)))
        return find_light(context, image)

    function = create(inner(detect=detect), tile=320)
    turned = picture((0, 0, 9, 9))
    turned.getexif()[0x0112] = 6
    assert boxes_of(function.detect(make_context(), turned)) == [[691, 0, 700, 9]]
    assert {exif for *_, exif in shapes} == {1}
    # Scaled by its own largest value, the right tile would be as bright as the left one.
    values = np.zeros((320, 600), dtype=np.uint16)
    values[100:150, 100:150], values[100:150, 500:550] = 60_000, 9_000
    assert boxes_of(function.detect(make_context(), Image.fromarray(values))) == [
        [100, 100, 150, 150]
    ]


def test_identity_follows_the_inner_function(tmp_path: Path):
    file = tmp_path / "bright.py"
    file.write_text(INNER.format(extra=""))

    def load(**options: Any) -> Any:
        return load_function("aa_functions.tiled", {"function": str(file), **options})

    first = load()
    assert first.title == "bright-tiled"
    assert first.name.startswith("aa_functions.tiled:bright.py@")
    assert not first.image_only
    assert load(parameters='{"score": 0.5}').fingerprint != first.fingerprint
    assert load(batch=3).fingerprint == first.fingerprint
    changed = [{"tile": 320}, {"overlap": 0.1}, {"whole": False}, {"threshold": 0.4}]
    assert len({load(**options).fingerprint for options in [{}, *changed]}) == 5
    file.write_text(INNER.format(extra='# another source\nresults_depend_on = "image"\n'))
    assert load().fingerprint != first.fingerprint


def test_a_file_that_the_inner_function_reads_late_is_noticed(tmp_path: Path, make_context):
    file, late = tmp_path / "bright.py", tmp_path / "late.json"
    late.write_text("1")
    reads = f"    with open({str(tmp_path)!r} + '/la' + 'te.json') as file: file.read()\n"
    source = INNER.format(extra="").replace(
        "            box =", "        " + reads + "            box ="
    )
    file.write_text(source)
    loaded = load_function("aa_functions.tiled", {"function": str(file), "tile": 320})
    assert loaded.fingerprint
    assert loaded.watched
    with loaded.watched.observing():
        loaded.function.detect(make_context(), picture())
    assert loaded.watched.missing_input() == str(late)


def test_a_live_object_has_no_fingerprint():
    loaded = load_function("aa_functions.tiled", {"function": inner()})
    assert loaded.fingerprint is None
    assert loaded.unknown.endswith("which has none: it is a live object")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 5}, "The option tile is 5, but must be a whole number of at least 32"),
        ({"tile": "640"}, "The option tile is '640', but must be a whole number of at least 32"),
        ({"overlap": True}, "The option overlap is True, but must be from 0 to 0.9"),
        ({"overlap": 0.95}, "The option overlap is 0.95, but must be from 0 to 0.9"),
        ({"threshold": 0}, "The option threshold is 0, but must be above 0 and at most 1"),
        ({"batch": 0}, "The option batch is 0, but must be a whole number of at least 1"),
        ({"function": "no.such"}, "There is no module 'no.such'"),
        ({"function": ""}, "The option function is empty: name a module or a .py file"),
        ({"parameters": "{"}, "The option parameters is not JSON"),
        ({"parameters": "[1]"}, "The option parameters is of type list: give an object"),
        ({"parameters": {"siz": 1}}, "takes no parameters"),
        ({"function": inner(needs_annotations=True)}, "needs what is on the frame already"),
        ({"function": inner(), "parameters": {"a": 1}}, "this one is a live object"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(FunctionReferenceError) as caught:
        load_function("aa_functions.tiled", {"function": "aa_functions.shapes", **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_inner_function_must_be_named():
    with pytest.raises(FunctionReferenceError, match="missing a required argument: 'function'"):
        load_function("aa_functions.tiled", {"tile": 640})


def test_what_the_inner_function_does_wrong_is_said(make_context: Callable[..., Any]):
    image, context = picture(), make_context()
    with pytest.raises(BadFunctionError, match="returned an object of type NoneType"):
        create(inner(detect=lambda context, image: None)).detect(context, image)
    with pytest.raises(BadFunctionError, match="returned 0 results for 5 images"):
        create(inner(detect_batch=lambda contexts, images: [])).detect(context, image)
    # The pipeline says what is wrong with such a result.
    assert "a car" in create(inner(detect=lambda *_: ["a car"])).detect(context, image)
