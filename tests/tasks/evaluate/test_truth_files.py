"""Annotation files with every kind of shape, and tracks, as CVAT stores them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hotcoco import mask as coco_mask

from cvat_flows.tasks.evaluate.errors import AnnotationFileError
from cvat_flows.tasks.evaluate.truth.coco_file import read_coco
from cvat_flows.tasks.evaluate.truth.cvat_xml import read_cvat_xml
from cvat_flows.tasks.evaluate.truth.names import Names
from cvat_flows.tasks.evaluate.truth.tracks import shapes_of_track
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia

LABELS = (
    Label(id=1, name="car"),
    Label(id=2, name="box", type="rectangle"),
    Label(
        id=3,
        name="cat",
        type="skeleton",
        sublabels=(Label(id=31, name="head"), Label(id=32, name="tail")),
    ),
)
FILES = ("a/1.jpg", "a/2.jpg", "b/2.jpg", "3.jpg")


def names(files: tuple[str, ...] = FILES) -> Names:
    media = SimpleNamespace(task_id=5, size=4, names=files)
    return Names(cast(TaskMedia, media), LABELS)


def coco(annotation: dict[str, Any], name: str = "car") -> list[Annotation]:
    content = {
        "images": [{"id": 9, "file_name": "1.jpg", "width": 30, "height": 20}],
        "categories": [{"id": 4, "name": name, "keypoints": ["head", "tail"]}],
        "annotations": [{"image_id": 9, "category_id": 4, **annotation}],
    }
    images, annotations = read_coco(json.dumps(content).encode(), names())
    assert images == {"1.jpg": 0}
    return annotations


class TestNames:
    def test_a_name_without_folders_must_be_clear(self) -> None:
        known = names()
        assert known.frame("a/2.jpg") == 1
        assert known.frame("a\\2.jpg") == 1
        assert known.frame("3.jpg") == known.frame("images/3.jpg") == 3
        assert known.frame("2.jpg") is None

    def test_an_unknown_label(self) -> None:
        with pytest.raises(AnnotationFileError, match="the label 'dog' is not in task 5"):
            names().label("dog")


class TestCoco:
    square = (5, 5, 15, 5, 15, 15, 5, 15)

    def test_polygons_stay_polygons_unless_the_label_is_for_rectangles(self) -> None:
        row = {"bbox": [5, 5, 10, 10], "segmentation": [self.square]}
        (one,) = coco(row)
        assert (one.type, one.points) == ("polygon", self.square)
        (one,) = coco(row, "box")
        assert (one.type, one.points) == ("rectangle", (5, 5, 15, 15))

    @pytest.mark.parametrize("compressed", [False, True])
    def test_run_lengths(self, compressed: bool) -> None:
        region: dict[str, Any] = coco_mask.fr_poly(list(self.square), 20, 30)
        if compressed:
            region = {"size": region["size"], "counts": region["counts"].decode()}
        else:
            # Columns of 20 pixels: ten of them have ten pixels from the fifth row on.
            counts = [5 * 20 + 5, *[10] * 19, 30 * 20 - 14 * 20 - 15]
            region = {"size": [20, 30], "counts": counts}
        (one,) = coco({"bbox": [5, 5, 10, 10], "segmentation": region})
        assert (one.type, one.points) == ("mask", (0, 100, 5, 5, 14, 14))

    def test_several_parts_are_a_mask(self) -> None:
        parts = [self.square, (20, 5, 25, 5, 25, 10, 20, 10)]
        (one,) = coco({"bbox": [5, 5, 20, 10], "segmentation": parts})
        assert one.type == "mask"
        assert one.points[-4:] == (5, 5, 24, 14)
        assert sum(one.points[1:-4:2]) == 100 + 25

    def test_keypoints(self) -> None:
        (one,) = coco({"bbox": [1, 1, 5, 5], "keypoints": [1, 2, 2, 0, 0, 0]}, "cat")
        assert [(e.label_id, e.points) for e in one.elements] == [(31, (1, 2))]

    def test_crowds_are_masks_as_cvat_writes_them(self) -> None:
        region = {"size": [20, 30], "counts": [0, 600]}
        (one,) = coco({"bbox": [0, 0, 30, 20], "segmentation": region, "iscrowd": 1})
        assert (one.type, one.points) == ("mask", (0, 600, 0, 0, 29, 19))
        assert coco({"bbox": [0, 0, 30, 20], "iscrowd": 1}) == []


def xml(body: str) -> list[Annotation]:
    content = f"<annotations><version>1.1</version>{body}</annotations>".encode()
    return read_cvat_xml(content, names())[1]


class TestCvatXml:
    def test_shapes_and_tags(self) -> None:
        found = xml(
            '<image id="0" name="a/1.jpg">'
            '<box label="box" xtl="1" ytl="2" xbr="3" ybr="4" rotation="30"/>'
            '<polygon label="car" points="1,2;3,4;5,6"/>'
            '<ellipse label="car" cx="10" cy="10" rx="4" ry="3"/>'
            '<mask label="car" rle="1, 2, 1" left="5" top="6" width="2" height="2"/>'
            '<tag label="car"/>'
            '<skeleton label="cat"><points label="head" points="1,2" outside="0"/>'
            '<points label="tail" points="3,4" outside="1"/></skeleton>'
            "</image>"
        )
        assert [(one.type, one.points) for one in found] == [
            ("rectangle", (1, 2, 3, 4)),
            ("polygon", (1, 2, 3, 4, 5, 6)),
            ("ellipse", (10, 10, 14, 7)),
            ("mask", (1, 2, 1, 5, 6, 6, 7)),
            ("tag", ()),
            ("skeleton", ()),
        ]
        assert found[0].rotation == 30
        assert [(e.label_id, e.outside) for e in found[-1].elements] == [(31, False), (32, True)]

    def test_tracks(self) -> None:
        found = xml(
            '<track id="0" label="box">'
            '<box frame="0" outside="0" xtl="0" ytl="0" xbr="10" ybr="10"/>'
            '<box frame="2" outside="1" xtl="4" ytl="0" xbr="14" ybr="10"/></track>'
        )
        assert [(one.frame, one.points) for one in found] == [
            (0, (0, 0, 10, 10)),
            (1, (0, 0, 10, 10)),
        ]


class TestTracks:
    def test_boxes_move_between_keyframes_and_stay_after_the_last(self) -> None:
        keyframes = [
            {"frame": 1, "type": "rectangle", "points": [0, 0, 10, 10], "rotation": 350},
            {"frame": 3, "type": "rectangle", "points": [4, 0, 14, 10], "rotation": 10},
        ]
        found = list(shapes_of_track({"label_id": 1, "shapes": keyframes}, last=4))
        assert [(one.frame, one.points[0], one.rotation) for one in found] == [
            (1, 0, 350),
            (2, 2, 0),
            (3, 4, 10),
            (4, 4, 10),
        ]

    def test_polygons_stay_until_the_next_keyframe(self) -> None:
        keyframes = [
            {"frame": 0, "type": "polygon", "points": [0, 0, 4, 0, 4, 4]},
            {"frame": 2, "type": "polygon", "points": [9, 0, 14, 0, 14, 4]},
        ]
        found = list(shapes_of_track({"label_id": 1, "shapes": keyframes}, last=2))
        assert [one.points[0] for one in found] == [0, 0, 9]

    def test_skeletons_are_put_together(self) -> None:
        def element(label: int, x: float, outside: bool) -> dict[str, Any]:
            shapes = [
                {"frame": 0, "type": "points", "points": [x, 1]},
                {"frame": 1, "type": "points", "points": [x, 1], "outside": outside},
            ]
            return {"label_id": label, "shapes": shapes}

        track = {"label_id": 3, "elements": [element(31, 1, False), element(32, 5, True)]}
        found = list(shapes_of_track(track, last=1))
        assert [[e.label_id for e in one.elements] for one in found] == [[31, 32], [31]]
        assert {one.type for one in found} == {"skeleton"}
