"""An AA function that takes time but no processor, like one on a GPU."""

from __future__ import annotations

import time

import cvat_sdk.auto_annotation as cvataa

SECONDS_PER_IMAGE = 0.002

spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec("square", 0, type="rectangle")])


def detect(context, image):  # type: ignore[no-untyped-def]
    """Return the same box for every image."""
    return detect_batch([context], [image])[0]


def detect_batch(contexts, images):  # type: ignore[no-untyped-def]
    """Return what `detect` returns for each image."""
    time.sleep(SECONDS_PER_IMAGE * len(images))
    return [[cvataa.rectangle(0, [10.0, 10.0, 60.0, 50.0])] for _ in images]
