"""What the functions that ship read of their contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import PIL.Image
from cvat_sdk.auto_annotation import DetectionFunctionContext

Default = TypeVar("Default", float, float | None)


def min_confidence(context: DetectionFunctionContext, default: Default) -> Default:
    """Return the context's `conf_threshold`, or the default if it has none.

    >>> from types import SimpleNamespace
    >>> min_confidence(SimpleNamespace(conf_threshold=None), 0.25)
    0.25
    >>> min_confidence(SimpleNamespace(conf_threshold=0), 0.25)
    0.0
    """
    return default if context.conf_threshold is None else float(context.conf_threshold)


def wants_polygons(context: DetectionFunctionContext) -> bool:
    """Return whether masks must become polygons. Contexts of old callers do not say it."""
    return bool(getattr(context, "conv_mask_to_poly", False))


def check_lengths(
    contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
) -> None:
    """Raise ValueError unless each image of a batch has a context."""
    if len(contexts) != len(images):
        raise ValueError(f"{len(contexts)} contexts for {len(images)} images")
