"""AA functions: detection functions, and what their authors need, in one import.

The protocol, its helpers and `BadFunctionError` are those of `cvat_sdk.auto_annotation`, exported
unchanged: a function that imports them from here also runs under `cvat-cli task auto-annotate`.
This package adds loading functions by name (`load_function`) and fingerprints.

A detection function has `spec` and `detect`:

>>> from aa_functions import DetectionFunctionSpec, label_spec, rectangle
>>> class WholeImage:
...     spec = DetectionFunctionSpec(labels=[label_spec("image", 0, type="rectangle")])
...
...     def detect(self, context, image):
...         return [rectangle(0, [0, 0, image.width, image.height], score=1.0)]
>>> import PIL.Image
>>> [found] = WholeImage().detect(None, PIL.Image.new("RGB", (320, 240)))
>>> found.points
[0.0, 0.0, 320.0, 240.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aa_functions.exports import lazy_exports

if TYPE_CHECKING:
    from cvat_sdk.attributes import number_attribute_values
    from cvat_sdk.auto_annotation import (
        AutoAnnotationFunction,
        BadFunctionError,
        DetectionAnnotation,
        DetectionFunction,
        DetectionFunctionContext,
        DetectionFunctionSpec,
        attribute_spec,
        checkbox_attribute_spec,
        keypoint,
        keypoint_spec,
        label_spec,
        mask,
        number_attribute_spec,
        polygon,
        radio_attribute_spec,
        rectangle,
        select_attribute_spec,
        shape,
        skeleton,
        skeleton_label_spec,
        tag,
        text_attribute_spec,
    )
    from cvat_sdk.masks import decode_mask, encode_mask

    from aa_functions.errors import FunctionReferenceError
    from aa_functions.pictures import to_rgb
    from aa_functions.present import PresentAnnotation
    from aa_functions.reference import (
        FunctionReference,
        LoadedFunction,
        load_function,
        wrap_function,
    )

__all__ = [
    "AutoAnnotationFunction",
    "BadFunctionError",
    "DetectionAnnotation",
    "DetectionFunction",
    "DetectionFunctionContext",
    "DetectionFunctionSpec",
    "FunctionReference",
    "FunctionReferenceError",
    "LoadedFunction",
    "PresentAnnotation",
    "attribute_spec",
    "checkbox_attribute_spec",
    "decode_mask",
    "encode_mask",
    "keypoint",
    "keypoint_spec",
    "label_spec",
    "load_function",
    "mask",
    "number_attribute_spec",
    "number_attribute_values",
    "polygon",
    "radio_attribute_spec",
    "rectangle",
    "select_attribute_spec",
    "shape",
    "skeleton",
    "skeleton_label_spec",
    "tag",
    "text_attribute_spec",
    "to_rgb",
    "wrap_function",
]

_HOMES = {
    "AutoAnnotationFunction": "cvat_sdk.auto_annotation",
    "BadFunctionError": "cvat_sdk.auto_annotation",
    "DetectionAnnotation": "cvat_sdk.auto_annotation",
    "DetectionFunction": "cvat_sdk.auto_annotation",
    "DetectionFunctionContext": "cvat_sdk.auto_annotation",
    "DetectionFunctionSpec": "cvat_sdk.auto_annotation",
    "FunctionReference": "aa_functions.reference",
    "FunctionReferenceError": "aa_functions.errors",
    "LoadedFunction": "aa_functions.reference",
    "PresentAnnotation": "aa_functions.present",
    "attribute_spec": "cvat_sdk.auto_annotation",
    "checkbox_attribute_spec": "cvat_sdk.auto_annotation",
    "decode_mask": "cvat_sdk.masks",
    "encode_mask": "cvat_sdk.masks",
    "keypoint": "cvat_sdk.auto_annotation",
    "keypoint_spec": "cvat_sdk.auto_annotation",
    "label_spec": "cvat_sdk.auto_annotation",
    "load_function": "aa_functions.reference",
    "mask": "cvat_sdk.auto_annotation",
    "number_attribute_spec": "cvat_sdk.auto_annotation",
    "number_attribute_values": "cvat_sdk.attributes",
    "polygon": "cvat_sdk.auto_annotation",
    "radio_attribute_spec": "cvat_sdk.auto_annotation",
    "rectangle": "cvat_sdk.auto_annotation",
    "select_attribute_spec": "cvat_sdk.auto_annotation",
    "shape": "cvat_sdk.auto_annotation",
    "skeleton": "cvat_sdk.auto_annotation",
    "skeleton_label_spec": "cvat_sdk.auto_annotation",
    "tag": "cvat_sdk.auto_annotation",
    "text_attribute_spec": "cvat_sdk.auto_annotation",
    "to_rgb": "aa_functions.pictures",
    "wrap_function": "aa_functions.reference",
}

# Imported on first use: cvat_sdk takes longer to import than a short command runs.
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
