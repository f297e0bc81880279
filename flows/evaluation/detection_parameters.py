"""The options for detecting on a CVAT task without annotating it: those of annotate-task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cvat_flows.flows.function_fields import (
    DEFAULT_FUNCTION,
    FunctionName,
    FunctionParameters,
    ServerBlock,
)
from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.check.validate import GeometryPolicy

_OF_DETECTION = {
    "task_id",
    "function",
    "function_parameters",
    "server",
    "conf_threshold",
    "conv_mask_to_poly",
    "label_mapping",
    "allow_unmatched_labels",
    "geometry",
    "missing_keypoints",
    "max_shapes_per_frame",
    "detect_timeout",
    "frames_per_run",
    "use_cache",
}
_ALL_FRAMES = 10**9


def same_field(name: str) -> Any:
    """Return the field of annotate-task with this name: its type, default and description."""
    return copy(AnnotateTaskParameters.model_fields[name])


def detection_only(values: Mapping[str, Any], frames: str | None) -> AnnotateTaskParameters:
    """Return the options for detecting on all of the frames without writing to CVAT."""
    return AnnotateTaskParameters(
        **values,
        frames=frames,
        include_ground_truth=True,
        dry_run=True,
        max_failed_frames=_ALL_FRAMES,
    )


class DetectionParameters(BaseModel):
    """Which function detects on which frames of a task. Nothing is written to CVAT."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = same_field("task_id")
    function: Annotated[FunctionName, Option(has_own_argument=True)] = Field(
        title="AA function", default=DEFAULT_FUNCTION
    )
    function_parameters: Annotated[FunctionParameters, Option(has_own_argument=True)] = Field(
        title="Function parameters", default_factory=dict
    )
    server: ServerBlock = Field(title="CVATServer block", default=None)
    frames: Annotated[str | None, Option(group="frames")] = Field(
        title="Frames",
        default=None,
        description="Numbers of the frames to look at, for example '0-20,30,45-'. Empty: all.",
    )
    conf_threshold: float | None = same_field("conf_threshold")
    lowest_score: Annotated[float | None, Option(group="detections")] = Field(
        title="Lowest score to detect",
        default=None,
        ge=0,
        le=1,
        description="Detect down to this score, to know also what is below the threshold. The "
        "model runs once for each value. Empty: see only detections above the threshold.",
    )
    label_thresholds: dict[str, float] | None = same_field("label_thresholds")
    label_mapping: dict[str, Any] | None = same_field("label_mapping")
    allow_unmatched_labels: Annotated[bool, Option(group="labels")] = Field(
        title="Allow unmatched labels",
        default=False,
        description="Leave out labels that the function has and the task or the truth has not, or "
        "the other way round",
    )
    conv_mask_to_poly: bool = same_field("conv_mask_to_poly")
    geometry: GeometryPolicy = same_field("geometry")
    missing_keypoints: Literal["error", "outside"] = same_field("missing_keypoints")
    max_shapes_per_frame: int | None = same_field("max_shapes_per_frame")
    detect_timeout: float | None = same_field("detect_timeout")
    frames_per_run: int = same_field("frames_per_run")
    use_cache: bool = same_field("use_cache")

    @model_validator(mode="after")
    def _scores_in_order(self) -> Self:
        low, high = self.lowest_score, self.conf_threshold
        if low is not None and high is not None and low > high:
            raise ValueError(f"lowest_score {low} is above conf_threshold {high}")
        return self

    def for_detection(self, frames: Iterable[int] | None = None) -> AnnotateTaskParameters:
        """Return the options for detecting on the frames without writing to CVAT.

        The function detects down to the lowest score, and no threshold applies afterwards.
        """
        values = self.model_dump(include=_OF_DETECTION)
        if self.lowest_score is not None:
            values["conf_threshold"] = self.lowest_score
        return detection_only(values, self.frames if frames is None else _ranges(frames))

    def for_annotation(self) -> AnnotateTaskParameters:
        """Return the options with which annotate-task uploads what is used here."""
        return AnnotateTaskParameters(
            **self.model_dump(include=_OF_DETECTION), label_thresholds=self.label_thresholds
        )

    def thresholds(self) -> dict[str, float]:
        """Return the thresholds that apply after the detection, by label of the function."""
        given = self.label_thresholds or {}
        if self.conf_threshold is None or self.lowest_score is None:
            return dict(given)
        return {
            "*": self.conf_threshold,
            **{label: max(score, self.conf_threshold) for label, score in given.items()},
        }


def _ranges(numbers: Iterable[int]) -> str:
    """Write frame numbers as ranges."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
