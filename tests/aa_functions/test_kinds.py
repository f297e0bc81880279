"""YOLO models of all kinds: equal to Ultralytics' `predict`, back ends, truth, wrong options."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.errors import YoloOptionError
from aa_functions.training.figures import KEYPOINTS
from aa_functions.training.shape_images import ShapeImage, make_shape_images
from aa_functions.yolo import YoloDetection, create
from tests.support.yolo_equality import assert_equal, bitmap, iou, polygon_bitmap
from tests.support.yolo_truth import SHARES, is_found
from tests.support.yolo_weights import DRAWN, WEIGHTS

SIZES = ((320, 240), (640, 480), (480, 640))
CONF = 0.2


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[ShapeImage]]:
    """Pictures of three sizes for each kind."""
    return {
        kind: list(make_shape_images(6, seed=80_001, sizes=SIZES, **options))
        for kind, options in DRAWN.items()
    }


class Functions(dict[str, YoloDetection]):
    """Loads each function once."""

    def __missing__(self, kind: str) -> YoloDetection:
        self[kind] = create(WEIGHTS[kind], backend="torch", workers=1)
        return self[kind]


@pytest.fixture(scope="module")
def functions() -> Functions:
    return Functions()


def assert_equal_to_predict(kind: str, shapes: list[Any], image: Any) -> None:
    model = import_ultralytics().YOLO(str(WEIGHTS[kind]))
    [wanted] = model.predict(image, conf=CONF, retina_masks=True, verbose=False)
    assert_equal(kind, shapes, wanted, image)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_equal_to_ultralytics(kind, functions, drawn, make_context):
    function = functions[kind]
    images = [made.image for made in drawn[kind]]
    contexts = [make_context(conf_threshold=0.0 if kind == "classify" else CONF)] * len(images)
    together = function.detect_batch(contexts, images)
    assert sum(map(len, together)) >= len(images)
    for image, shapes in zip(images, together, strict=True):
        assert_equal_to_predict(kind, shapes, image)
        assert function.detect(contexts[0], image) == shapes


@pytest.mark.parametrize("backend", ["openvino", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_backends_give_the_same(kind, backend, drawn, make_context):
    for name in {"openvino": ["openvino"], "onnx": ["onnx", "onnxruntime"]}[backend]:
        pytest.importorskip(name)
    function = create(WEIGHTS[kind], backend=backend, workers=1)
    images = [made.image for made in drawn[kind][:3]]
    contexts = [make_context(conf_threshold=0.0 if kind == "classify" else CONF)] * len(images)
    for image, shapes in zip(images, function.detect_batch(contexts, images), strict=True):
        assert_equal_to_predict(kind, shapes, image)


def hits(kind: str, function: YoloDetection, make_context: Any) -> list[bool]:
    """Return for all that was drawn on twelve pictures whether the function finds it."""
    to_polygons = kind == "polygons"
    names = {label.id: label.name for label in function.spec.labels}
    parts = dict(enumerate(KEYPOINTS))
    drawn = DRAWN["segment" if to_polygons else kind]
    context = make_context(conv_mask_to_poly=to_polygons)
    return [
        is_found(kind, box, annotations, made.image, names, parts)
        for made in make_shape_images(12, seed=80_002, sizes=((320, 240),), **drawn)
        for annotations in [function.detect(context, made.image)]
        for box in made.boxes
    ]


@pytest.mark.parametrize("kind", SHARES)
def test_finds_what_was_drawn(kind, functions, make_context):
    found = hits(kind, functions["segment" if kind == "polygons" else kind], make_context)
    assert sum(found) >= SHARES[kind] * len(found), f"{sum(found)} of {len(found)}"


@pytest.mark.parametrize("kind", WEIGHTS)
def test_bf16_finds_nearly_the_same(kind, functions, drawn, make_context):
    """With torch. OpenVINO computes in bf16 only where the processor can."""
    reduced = create(WEIGHTS[kind], backend="torch", precision="bf16", workers=1)
    context = make_context(conf_threshold=0.0 if kind == "classify" else CONF)
    images = [made.image for made in drawn[kind]]
    exact = [functions[kind].detect(context, image) for image in images]
    rough = [reduced.detect(context, image) for image in images]
    assert rough != exact
    assert sum(map(len, rough)) == pytest.approx(sum(map(len, exact)), rel=0.15, abs=2)
    few, many = (hits(kind, one, make_context) for one in (reduced, functions[kind]))
    assert sum(few) == pytest.approx(sum(many), abs=0.15 * len(many))


def test_polygons_cover_the_masks(functions, drawn, make_context):
    function = functions["segment"]
    for made in drawn["segment"][:3]:
        masks = function.detect(make_context(), made.image)
        polygons = function.detect(make_context(conv_mask_to_poly=True), made.image)
        assert {shape.type.value for shape in polygons} <= {"polygon"}
        assert len(polygons) >= len(masks)
        covered = [polygon_bitmap(shape.points, made.image) for shape in polygons]
        for mask in masks:
            assert max(iou(bitmap(mask, made.image), other) for other in covered) > 0.9


def test_specs(functions):
    types = {kind: {label.type for label in functions[kind].spec.labels} for kind in WEIGHTS}
    assert types == {
        "segment": {"mask"},
        "obb": {"rectangle"},
        "pose": {"skeleton"},
        "classify": {"tag"},
    }
    (arrow,) = functions["pose"].spec.labels
    assert [(point.name, point.id) for point in arrow.sublabels] == list(
        zip(KEYPOINTS, range(4), strict=True)
    )


def test_several_tags(make_context, drawn):
    function = create(WEIGHTS["classify"], backend="torch", top_k=3, workers=1)
    image = drawn["classify"][0].image
    tags = function.detect(make_context(conf_threshold=0.0), image)
    scores = [tag.score for tag in tags]
    assert len(tags) == 3
    assert scores == sorted(scores, reverse=True)
    assert function.detect(make_context(conf_threshold=1.0), image) == []


@pytest.mark.parametrize("ending", ["txt", "json", "yaml", "names"])
def test_keypoint_names(ending, tmp_path):
    content = {
        "txt": "a\nb\nc\nd\n",
        "json": '["a", "b", "c", "d"]',
        "yaml": "kpt_names:\n  0: [a, b, c, d]\n",
    }
    given = "a, b,c,d"
    if ending in content:
        path = tmp_path / f"names.{ending}"
        path.write_text(content[ending])
        given = str(path)
    function = create(WEIGHTS["pose"], keypoints=given)
    (arrow,) = function.spec.labels
    assert [point.name for point in arrow.sublabels] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("pose", {"keypoints": "tip,tail"}, "has 2 names (tip, tail), but the model"),
        ("pose", {"keypoints": "a,b,c,a"}, "the name 'a' twice"),
        ("pose", {"keypoints": "no-such.txt"}, "the file 'no-such.txt', which cannot be read"),
        ("pose", {"keypoint_conf": 1.5}, "keypoint_conf is 1.5"),
        ("pose", {"top_k": 2}, "top_k is for checkpoints of the kind classify, but"),
        ("segment", {"keypoints": "a"}, "keypoints is for checkpoints of the kind pose, but"),
        ("segment", {"polygon_tolerance": -1}, "polygon_tolerance is -1"),
        ("obb", {"polygon_tolerance": 2}, "kind segment, but 'arrows-obb.pt' is of the kind obb"),
        ("classify", {"iou": 0.5}, "kind detect or obb or segment or pose"),
        ("classify", {"top_k": 0}, "top_k is 0"),
    ],
)
def test_options_that_do_not_fit(kind, options, expected):
    with pytest.raises(YoloOptionError) as caught:
        create(WEIGHTS[kind], **options)
    assert expected in str(caught.value)
