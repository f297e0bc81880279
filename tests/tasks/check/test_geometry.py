"""Each policy for shapes that leave the image, are inverted or have no area."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from attrs import evolve
from cvat_sdk.masks import decode_mask, encode_mask
from hypothesis import assume, given
from hypothesis import strategies as st

from cvat_flows.tasks.check.geometry import ImageSize, bounding_box, clip, find_defect
from cvat_flows.tasks.check.validate import CLIPPED, DROPPED, ValidationOptions, validate_frame
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.model.labels import Label

WIDTH, HEIGHT = 64, 48
SIZE = ImageSize(width=WIDTH, height=HEIGHT)
FRAME = Frame(number=7, name="a.png", width=WIDTH, height=HEIGHT, chunk=0, job_ids=(1,))
NAMES = ("any", "dropped")
MATCH = match_spec(
    [Label(id=i, name=name) for i, name in enumerate(NAMES)],
    [Label(id=100, name="any")],
    allow_unmatched_labels=True,
)


def shape(type_: str, *points: float, **fields: Any) -> Detection:
    return Detection(type=type_, label_id=0, points=tuple(map(float, points)), **fields)


def skeleton(*keypoints: tuple[float, float, bool]) -> Detection:
    return Detection(
        type="skeleton",
        label_id=0,
        elements=tuple(shape("points", x, y, outside=outside) for x, y, outside in keypoints),
    )


CUBOID = (60, 10, 70, 10) * 4
LEAVES, INVERTED, EMPTY = "leaves the image", "is inverted", "has no area"
CASES: list[tuple[Detection, str | None, tuple[float, ...] | None]] = [
    # The shape, its defect, and the points that are left when it is clipped (None: nothing is).
    (shape("rectangle", 0, 0, WIDTH, HEIGHT), None, (0, 0, WIDTH, HEIGHT)),
    (shape("rectangle", -5, -6, 10, 11), LEAVES, (0, 0, 10, 11)),
    (shape("rectangle", 60, 40, 70, 50), LEAVES, (60, 40, 64, 48)),
    (shape("rectangle", 70, 10, 80, 20), LEAVES, None),
    (shape("rectangle", 64, 10, 80, 20), LEAVES, None),
    (shape("rectangle", 10, 20, 5, 6), INVERTED, (5, 6, 10, 20)),
    (shape("rectangle", 5, 20, 10, 6), INVERTED, (5, 6, 10, 20)),
    (shape("rectangle", 10, 60, 5, 6), INVERTED, (5, 6, 10, 48)),
    (shape("rectangle", 10, 20, 10, 30), EMPTY, None),
    (shape("rectangle", -5, -5, 10, 10, rotation=45), LEAVES, (-5, -5, 10, 10)),
    (shape("rectangle", -50, -50, -40, -40, rotation=45), LEAVES, None),
    (shape("rectangle", 0, 0, 64, 48, rotation=180), None, (0, 0, 64, 48)),
    (shape("rectangle", 0, 20, 64, 28, rotation=90), LEAVES, (0, 20, 64, 28)),
    (shape("rectangle", -8, 20, 12, 24, rotation=90), None, (-8, 20, 12, 24)),
    (shape("ellipse", 10, 10, 15, 5), None, (10, 10, 15, 5)),
    (shape("ellipse", 10, 10, 25, 5), LEAVES, (10, 10, 25, 5)),
    (shape("ellipse", 10, 10, 25, 5, rotation=90), LEAVES, (10, 10, 25, 5)),
    (shape("ellipse", 5, 30, 15, 26, rotation=90), None, (5, 30, 15, 26)),
    (shape("ellipse", 10, 10, 5, 15), INVERTED, (10, 10, 15, 5)),
    (shape("ellipse", 10, 10, 10, 5), EMPTY, None),
    (shape("ellipse", 90, 10, 95, 5), LEAVES, None),
    (shape("polygon", 1, 1, 5, 1, 3, 4), None, (1, 1, 5, 1, 3, 4)),
    (shape("polygon", -4, 2, 4, 2, 4, 10, -4, 10), LEAVES, (0, 2, 4, 2, 4, 10, 0, 10)),
    (shape("polygon", 1, 1, 2, 2, 3, 3), EMPTY, None),
    (shape("polygon", 1, 1, 1, 1, 1, 1), EMPTY, None),
    (shape("polygon", 70, 1, 75, 1, 70, 9), LEAVES, None),
    # A figure of eight: its signed area is zero, what one sees of it is not.
    (shape("polygon", 1, 1, 5, 5, 5, 1, 1, 5), None, (1, 1, 5, 5, 5, 1, 1, 5)),
    (shape("polyline", -1, 5, 70, 9), LEAVES, (0, 5, 64, 9)),
    (shape("points", 5, 5, 5, 60), LEAVES, (5, 5, 5, 48)),
    (shape("points", 5, 60, 6, 70), LEAVES, None),
    (shape("cuboid", *CUBOID), LEAVES, CUBOID),
    (shape("cuboid", *[x + 10 for x in CUBOID]), LEAVES, None),
    (shape("mask", 0, 4, 62, 46, 63, 47), None, (0, 4, 62, 46, 63, 47)),
    (shape("mask", 0, 9, 62, 46, 64, 48), LEAVES, (0, 4, 62, 46, 63, 47)),
    (shape("mask", 0, 2, 63, 0, 64, 0), LEAVES, (0, 1, 63, 0, 63, 0)),
    (shape("mask", 0, 2, 0, 47, 0, 48), LEAVES, (0, 1, 0, 47, 0, 47)),
    (shape("mask", 1, 3, 1, 4, -2, 0, 0, 2), LEAVES, (0, 3, 0, 0, 0, 2)),
    (shape("mask", 4, 0, 1, 1, 2, 2), EMPTY, None),
    (shape("mask", 0, 4, -9, -9, -8, -8), LEAVES, None),
    (Detection(type="tag", label_id=0), None, ()),
]


@pytest.mark.parametrize(("found", "defect", "left"), CASES)
def test_defects_and_clipping(
    found: Detection, defect: str | None, left: tuple[float, ...] | None
) -> None:
    assert find_defect(found, SIZE) == defect
    outcome = run("clip", found)
    (clipped,) = outcome.detections or (None,)
    assert (None if clipped is None else clipped.points) == left
    if left is None:
        assert outcome.counts == {DROPPED: 1}
    else:
        assert clipped == evolve(found, points=left)
        assert outcome.counts == ({} if left == found.points else {CLIPPED: 1})


def run(policy: Literal["keep", "clip", "drop", "fail"], *found: Detection) -> Outcome:
    outcome = Outcome(frame=FRAME, detections=found, counts={"earlier": 1})
    outcome = validate_frame(outcome, MATCH, ValidationOptions(geometry=policy))
    assert outcome.counts.pop("earlier") == 1
    return outcome


@pytest.mark.parametrize(("found", "defect", "left"), CASES)
def test_keep_drop_and_fail(
    found: Detection, defect: str | None, left: tuple[float, ...] | None
) -> None:
    fine = shape("rectangle", 1, 2, 3, 4)
    assert run("keep", fine, found).detections == (fine, found)
    dropped, failed = run("drop", fine, found), run("fail", fine, found)
    if defect is None:
        assert dropped.detections == failed.detections == (fine, found)
        assert failed.failure is None
        return
    assert (dropped.detections, dropped.counts) == ((fine,), {DROPPED: 1})
    assert failed.failure is not None
    assert failed.failure.error.startswith(
        f"annotation 1: function output {found.type} that {defect}"
    )
    assert "the image is 64x48" in failed.failure.error
    assert (failed.failure.error_type, failed.failure.annotation_index) == ("GeometryError", 1)


def test_only_visible_keypoints_of_skeletons_count() -> None:
    hidden = skeleton((5, 5, False), (-90, 5, True))
    assert find_defect(hidden, SIZE) is None
    assert find_defect(skeleton((-90, 5, True)), SIZE) is None
    sticking_out = skeleton((5, 5, False), (-9, 50, False), (-90, 5, True))
    assert find_defect(sticking_out, SIZE) == LEAVES
    assert clip(sticking_out, SIZE) == skeleton((5, 5, False), (0, 48, False), (-90, 5, True))
    assert clip(skeleton((-5, 5, False), (-9, 50, False)), SIZE) is None


def test_the_tolerance_applies_except_when_clipping() -> None:
    box = shape("rectangle", -0.05, 0, 64.0001, 48)
    assert run("drop", box).detections == (box,)
    assert run("fail", box).failure is None
    assert run("clip", box).detections == (shape("rectangle", 0, 0, 64, 48),)


def test_shapes_with_dropped_labels_are_not_checked() -> None:
    dropped = Detection(type="rectangle", label_id=1, points=(-9.0, 0.0, 1.0, 1.0))
    assert run("fail", dropped).failure is None


def test_clipping_a_huge_mask_does_not_decode_it() -> None:
    side = 2**24
    huge = shape("mask", 0, side * side, -5, -5, side - 6, side - 6)
    clipped = clip(huge, SIZE)
    assert clipped is not None
    assert clipped.points == (0, WIDTH * HEIGHT, 0, 0, WIDTH - 1, HEIGHT - 1)


coordinates = st.integers(-40, 100).map(float)


@given(
    st.sampled_from(["rectangle", "polygon", "polyline", "points"]),
    st.lists(coordinates, min_size=6, max_size=12).filter(lambda points: len(points) % 2 == 0),
)
def test_clipped_shapes_are_inside_and_stay_the_same(kind: str, points: list[float]) -> None:
    clipped = clip(shape(kind, *(points[:4] if kind == "rectangle" else points)), SIZE)
    if clipped is None:
        return
    box = bounding_box(clipped)
    assert box is not None
    left, top, right, bottom = box
    assert 0 <= left <= right <= WIDTH
    assert 0 <= top <= bottom <= HEIGHT
    assert find_defect(clipped, SIZE, tolerance=0) is None
    assert clip(clipped, SIZE) == clipped


@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7),
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 47)), min_size=20, max_size=20),
)
def test_a_clipped_polygon_covers_the_same_pixels(
    corners: list[tuple[float, float]], pixels: list[tuple[int, int]]
) -> None:
    polygon = shape("polygon", *(value for corner in corners for value in corner))
    assume(find_defect(polygon, SIZE) != EMPTY)
    clipped = clip(polygon, SIZE)
    for column, row in pixels:
        # No corner and no crossing with the border lies on such a point.
        place = column + 0.3718, row + 0.4143
        covered = clipped is not None and is_inside(clipped.points, *place)
        assert covered == is_inside(polygon.points, *place)


def is_inside(points: tuple[float, ...], x: float, y: float) -> bool:
    """Even-odd rule: a ray to the left crosses the outline an odd number of times."""
    corners = list(zip(points[::2], points[1::2], strict=True))
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > y) != (y2 > y) and x > x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


@given(
    st.integers(-6, 66),
    st.integers(-6, 50),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**81 - 1),
)
def test_a_clipped_mask_has_the_same_pixels(
    left: int, top: int, width: int, height: int, bits: int
) -> None:
    pixels = [bool(bits >> index & 1) for index in range(width * height)]
    bitmap = np.array(pixels).reshape(height, width)
    assume(bitmap.any())
    *runs, _, _, _, _ = encode_mask(bitmap, [0, 0, width, height])
    mask = shape("mask", *runs, left, top, left + width - 1, top + height - 1)
    wanted = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for row in range(height):
        for column in range(width):
            if 0 <= top + row < HEIGHT and 0 <= left + column < WIDTH:
                wanted[top + row, left + column] = bitmap[row, column]
    clipped = clip(mask, SIZE)
    if clipped is None:
        assert not wanted.any()
    else:
        got = decode_mask(clipped.points, image_width=WIDTH, image_height=HEIGHT)
        assert (got == wanted).all()


@pytest.mark.parametrize(
    "found",
    [
        shape("polygon"),
        shape("polygon", 1, 2),
        shape("polygon", 1, 2, 3, 4),
        shape("polyline"),
        shape("polyline", 1, 2),
        shape("polyline", 1, 2, 1, 2, 1, 2),
        shape("points"),
        shape("mask"),
        shape("mask", 0, 0, 1, 1),
        shape("mask", 4, 0, 0, 1, 1),
    ],
)
def test_what_is_hardly_a_shape_has_no_area(found: Detection) -> None:
    """Models return a polygon of two points for a tiny object. CVAT refuses its whole frame."""
    fine = shape("rectangle", 1, 2, 3, 4)
    for policy in ("drop", "clip"):
        result = run(policy, fine, found)
        assert (result.failure, result.detections) == (None, (fine,)), policy
        assert result.counts == {DROPPED: 1}
    assert run("fail", found).failure
    cvat_accepts = found.type in ("polyline", "mask") and len(found.points) > 4
    assert (run("keep", found).failure is None) == cvat_accepts


@pytest.mark.parametrize(
    "found",
    [
        shape("rectangle", 1, 2),
        shape("ellipse"),
        shape("polygon", 1, 2, 3, 4, 5),
        shape("polyline", 1, 2, 3),
        shape("points", 1),
    ],
)
def test_a_wrong_number_of_points_is_an_error_of_the_function(found: Detection) -> None:
    for policy in ("keep", "drop", "clip", "fail"):
        failure = run(policy, found).failure
        assert failure is not None, policy
        assert "numbers in its points" in failure.error


def test_a_line_outside_the_image_shrinks_to_nothing() -> None:
    assert run("clip", shape("polyline", -5, -5, -1, -9)).detections == ()
    assert run("clip", shape("polyline", 60, 40, 70, 50, 80, 60)).failure is None
