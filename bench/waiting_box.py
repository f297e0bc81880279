"""An AA function that takes time and no processor: what a pipeline leaves of a device's speed."""

from __future__ import annotations

import time

import cvat_sdk.auto_annotation as cvataa

SECONDS_AN_IMAGE = 0.002

spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec("square", 0, type="rectangle")])


def detect(context, image):  # type: ignore[no-untyped-def]
    """One box, the same on every image."""
    return detect_batch([context], [image])[0]


def detect_batch(contexts, images):  # type: ignore[no-untyped-def]
    """The same for each image."""
    time.sleep(SECONDS_AN_IMAGE * len(images))
    return [[cvataa.rectangle(0, [10.0, 10.0, 60.0, 50.0])] for _ in images]
