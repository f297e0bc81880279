"""Errors in a function's output. Each is also a `BadFunctionError`, as in the SDK."""

from __future__ import annotations

from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.model.errors import CvatFlowsError


class BadOutputError(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The output breaks a rule of the AA-function protocol. Messages are those of the SDK."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index
        """Index of the annotation that breaks the rule; None if no single annotation does."""


class RejectedShapeError(BadOutputError):
    """The protocol allows the annotation, but CVAT would reject, drop or garble it."""


class GeometryError(BadOutputError):
    """A shape leaves the image, is inverted or has no area, and the policy is `fail`."""


class TooManyShapesError(BadOutputError):
    """A frame has more annotations than `max_shapes_per_frame`."""
