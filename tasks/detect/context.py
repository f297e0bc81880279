"""What a function is handed beside the image.

All of it is part of the cache's key (detect.cache): what is added here is added there.
"""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen
from cvat_sdk.auto_annotation import DetectionFunctionContext

from aa_functions.present import PresentAnnotation
from cvat_flows.tasks.model.frames import Frame


@frozen(kw_only=True)
class DetectionContext(DetectionFunctionContext):  # type: ignore[misc]
    """What the protocol tells a function about an image (cvat_sdk.auto_annotation)."""

    frame_name: str
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False


@frozen(kw_only=True)
class AnnotatedContext(DetectionContext):
    """The context of a function that declares `needs_annotations`."""

    annotations: tuple[PresentAnnotation, ...]
    """What was on the frame when the run began; see `detect.present`."""


@frozen(kw_only=True)
class CallOptions:
    """The part of the context that is the same for all frames of a run."""

    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False

    def context(
        self, frame: Frame, annotations: tuple[PresentAnnotation, ...] | None = None
    ) -> DetectionContext:
        """Return the context for a frame, with what is on it if the function needs that."""
        facts = {**facts_of_frame(frame), **asdict(self)}
        if annotations is None:
            return DetectionContext(**facts)
        return AnnotatedContext(**facts, annotations=annotations)


def facts_of_frame(frame: Frame) -> dict[str, Any]:
    """Return the part of the context that belongs to the frame."""
    return {"frame_name": frame.name}
