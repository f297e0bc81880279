"""A function that returns every kind of shape, and task labels that match it."""

from __future__ import annotations

from typing import Any

from cvat_sdk import models

import aa_functions as aa


def label(name: str, **fields: Any) -> models.PatchedLabelRequest:
    return models.PatchedLabelRequest(name=name, **fields)


def attribute(name: str, kind: str, values: list[str], default: str) -> models.AttributeRequest:
    return models.AttributeRequest(
        name=name, mutable=False, input_type=kind, values=values, default_value=default
    )


def rich_labels(blob: str = "mask") -> list[models.PatchedLabelRequest]:
    return [
        label(
            "car",
            type="any",
            attributes=[
                attribute("kind", "select", ["a", "b"], "a"),
                attribute("age", "number", ["0", "100", "1"], "1"),
                attribute("blur", "checkbox", ["false"], "false"),
                attribute("side", "radio", ["l", "r"], "l"),
                attribute("note", "text", [""], ""),
            ],
        ),
        label("box", type="rectangle"),
        label("area", type="polygon"),
        label("blob", type=blob),
        label("sunny", type="tag"),
        label(
            "cat",
            type="skeleton",
            sublabels=[
                models.SublabelRequest(
                    name="head", attributes=[attribute("open", "checkbox", ["false"], "false")]
                ),
                models.SublabelRequest(name="tail"),
            ],
        ),
    ]


RICH_SPEC = aa.DetectionFunctionSpec(
    labels=[
        aa.label_spec(
            "car",
            11,
            attributes=[
                aa.select_attribute_spec("kind", 1, ["a", "b"]),
                aa.number_attribute_spec("age", 2, ["0", "100", "1"]),
                aa.checkbox_attribute_spec("blur", 3),
                aa.radio_attribute_spec("side", 4, ["l", "r"]),
                aa.text_attribute_spec("note", 5),
            ],
        ),
        aa.label_spec("box", 12, type="rectangle"),
        aa.label_spec("area", 13, type="polygon"),
        aa.label_spec("blob", 14, type="mask"),
        aa.label_spec("sunny", 15, type="tag"),
        aa.skeleton_label_spec(
            "cat",
            16,
            [
                aa.keypoint_spec("tail", 1),
                aa.keypoint_spec("head", 2, attributes=[aa.checkbox_attribute_spec("open", 9)]),
            ],
        ),
        aa.label_spec("unmatched", 17),
    ]
)


def value(spec_id: int, text: str) -> models.AttributeValRequest:
    return models.AttributeValRequest(spec_id=spec_id, value=text)


def detect_everything(context: Any, image: Any) -> list[Any]:
    n = int(context.frame_name[4:8])
    return [
        aa.rectangle(
            11,
            [1 + n, 2, 30.5, 40.25],
            rotation=33.5,
            occluded=True,
            z_order=2,
            attributes=[value(1, "b"), value(2, "7"), value(3, "true"), value(5, "text")],
        ),
        aa.rectangle(12, [30, 30, 5, 5]),
        aa.rectangle(12, [-5, -5, 500, 500]),
        aa.shape(11, type="ellipse", points=[20, 20, 30, 10]),
        aa.shape(11, type="polyline", points=[1, 1, 9, 9, 20, 3]),
        aa.shape(11, type="points", points=[4, 4]),
        aa.shape(11, type="cuboid", points=[float(p) for p in range(16)]),
        aa.polygon(13, [1, 1, 9, 1, 5, 9.25]),
        aa.shape(17, type="points", points=[1, 1])
        if not context.conv_mask_to_poly
        else aa.polygon(13, [2, 2, 8, 2, 4, 8]),
        *([] if context.conv_mask_to_poly else [aa.mask(14, [2, 3, 1, 1, 1, 3, 2])]),
        aa.tag(15),
        aa.skeleton(
            16,
            [
                aa.keypoint(2, [10, 10], attributes=[value(9, "true")], occluded=True),
                aa.keypoint(1, [30, 30], outside=True),
            ],
        ),
    ]


def content(task: Any) -> Any:
    """Return a task's annotations with names instead of ids, to compare two tasks."""
    names: dict[int, str] = {}
    for row in task.get_labels():
        names |= {row.id: row.name} | {sub.id: sub.name for sub in row.sublabels}
        for part in [row, *row.sublabels]:
            names |= {-a.id: a.name for a in part.attributes}

    def plain(item: Any) -> Any:
        row = {k: v for k, v in item.to_dict().items() if k not in ("id", "label_id", "elements")}
        row["label"] = names[item.label_id]
        row["attributes"] = sorted((names[-a["spec_id"]], a["value"]) for a in row["attributes"])
        row["elements"] = sorted(map(repr, map(plain, getattr(item, "elements", []))))
        return row

    stored = task.get_annotations()
    return sorted(repr(plain(item)) for item in [*stored.shapes, *stored.tags])
