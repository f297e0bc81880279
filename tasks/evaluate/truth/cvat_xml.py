"""Read annotations in CVAT's own formats: CVAT for images 1.1 and CVAT for video 1.1 (XML)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from cvat_flows.tasks.evaluate.truth.names import Names
from cvat_flows.tasks.evaluate.truth.tracks import shapes_of_track
from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.labels import SKELETON, Label

_TYPES = {"box": "rectangle", "skeleton": SKELETON, "tag": TAG}
_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "skeleton", "cuboid", "tag")


def read_cvat_xml(content: bytes, names: Names) -> tuple[dict[str, int | None], list[Annotation]]:
    """Return the frames of the file's images by name, and the annotations of those in the task.

    The frames of a file of tracks have their numbers as names. Raises ValueError and KeyError for
    another format.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("a document type, which CVAT does not write")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag != "annotations":
        raise ValueError(f"begins with <{root.tag}>")
    images: dict[str, int | None] = {}
    annotations: list[Annotation] = []
    for image in root.iter("image"):
        name = image.attrib["name"]
        images[name] = frame = names.frame(name)
        if frame is not None:
            shapes = (one for one in image if one.tag in _SHAPES)
            annotations += (_annotation(one, names, frame) for one in shapes)
    tracks = list(root.iter("track"))
    if tracks:
        images |= {f"frame {number}": number for number in range(names.size)}
    for track in tracks:
        annotations += _of_track(track, names)
    return images, annotations


def _annotation(shape: Element, names: Names, frame: int) -> Annotation:
    label = names.label(shape.attrib["label"])
    kind = _TYPES.get(shape.tag, shape.tag)
    if kind == SKELETON:
        return Annotation(
            type=kind,
            label_id=label.id,
            frame=frame,
            elements=tuple(_keypoint(one, label, frame) for one in shape.findall("points")),
            source="file",
        )
    return Annotation(
        type=kind,
        label_id=label.id,
        frame=frame,
        points=tuple(_points(shape)),
        rotation=float(shape.get("rotation", 0)),
        source="file",
    )


def _keypoint(point: Element, label: Label, frame: int) -> Annotation:
    (sublabel,) = [one for one in label.sublabels if one.name == point.attrib["label"]]
    return Annotation(
        type="points",
        label_id=sublabel.id,
        frame=frame,
        points=tuple(_points(point)),
        outside=point.get("outside") == "1",
    )


def _points(shape: Element) -> Iterator[float]:
    """Yield the points in the order in which CVAT's API has them."""
    if shape.tag == TAG:
        return
    if shape.tag == "box":
        yield from (float(shape.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
    elif shape.tag == "ellipse":
        x, y, across, up = (float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
        yield from (x, y, x + across, y - up)
    elif shape.tag == "mask":
        yield from (float(run) for run in shape.attrib["rle"].split(",") if run.strip())
        left, top, width, height = (
            int(shape.attrib[name]) for name in ("left", "top", "width", "height")
        )
        yield from (left, top, left + width - 1, top + height - 1)
    elif "points" in shape.attrib:
        for point in shape.attrib["points"].split(";"):
            yield from map(float, point.split(","))


def _of_track(track: Element, names: Names) -> Iterator[Annotation]:
    label = names.label(track.attrib["label"])
    keyframes = [
        {
            "frame": int(shape.attrib["frame"]),
            "type": _TYPES.get(shape.tag, shape.tag),
            "points": list(_points(shape)),
            "rotation": float(shape.get("rotation", 0)),
            "outside": shape.get("outside") == "1",
        }
        for shape in track
        if shape.tag in _SHAPES and shape.tag != "skeleton"
    ]
    row = {"label_id": label.id, "source": "file", "shapes": keyframes}
    yield from shapes_of_track(row, last=names.size - 1)
