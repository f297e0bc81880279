"""AA functions: what can annotate. One import for an author of a function.

The protocol, its helper factories and `BadFunctionError` are those of `cvat_sdk.auto_annotation`,
handed on unchanged: a function written with this import also runs under `cvat-cli task
auto-annotate`. Added are the loading of functions by reference and their fingerprints.
"""

from __future__ import annotations

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

from aa_functions.reference import (
    FunctionReference,
    FunctionReferenceError,
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
    "wrap_function",
]
