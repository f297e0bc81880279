"""What can be wrong with a function's output. Each is a `BadFunctionError`, as in the SDK."""

from __future__ import annotations

from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.model.errors import CvatFlowsError


class BadOutputError(CvatFlowsError, BadFunctionError):  # type: ignore[misc]
    """The output breaks a rule of the AA-function protocol. Messages are those of the SDK."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index
        """Which of the returned annotations is at fault; None if not a single one is."""


class RejectedShapeError(BadOutputError):
    """The protocol allows it, CVAT would reject it, drop it or store what nobody can use."""


class GeometryError(BadOutputError):
    """A shape leaves the image, is inverted or has no area, and the policy is `fail`."""


class TooManyShapesError(BadOutputError):
    """More annotations on a frame than `max_shapes_per_frame`."""
