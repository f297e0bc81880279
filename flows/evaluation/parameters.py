"""The options of an evaluate-task run. Options of the function are those of annotate-task."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import (
    DEFAULT_FUNCTION,
    AnnotateTaskParameters,
    FunctionName,
    FunctionParameters,
    ServerBlock,
)
from cvat_flows.tasks.check.validate import GeometryPolicy
from cvat_flows.tasks.evaluate.truth.choose import TruthSource

_TRUTH = Option(group="truth")
_LABELS = Option(group="labels")
_FIGURES = Option(group="figures")
_DETECTIONS = Option(group="detections")
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


def _same(name: str) -> Any:
    """Return the field of annotate-task with this name: its type, default and description."""
    return copy(AnnotateTaskParameters.model_fields[name])


class DetectionParameters(BaseModel):
    """Which function detects on which frames of a task. Nothing is written to CVAT."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = _same("task_id")
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
    conf_threshold: float | None = _same("conf_threshold")
    lowest_score: Annotated[float | None, _DETECTIONS] = Field(
        title="Lowest score to detect",
        default=None,
        ge=0,
        le=1,
        description="Detect down to this score, to know also what is below the threshold. The "
        "model runs once for each value. Empty: see only detections above the threshold.",
    )
    label_thresholds: dict[str, float] | None = _same("label_thresholds")
    label_mapping: dict[str, Any] | None = _same("label_mapping")
    allow_unmatched_labels: Annotated[bool, _LABELS] = Field(
        title="Allow unmatched labels",
        default=False,
        description="Leave out labels that the function has and the task or the truth has not, or "
        "the other way round",
    )
    conv_mask_to_poly: bool = _same("conv_mask_to_poly")
    geometry: GeometryPolicy = _same("geometry")
    missing_keypoints: Literal["error", "outside"] = _same("missing_keypoints")
    max_shapes_per_frame: int | None = _same("max_shapes_per_frame")
    detect_timeout: float | None = _same("detect_timeout")
    frames_per_run: int = _same("frames_per_run")
    use_cache: bool = _same("use_cache")

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
        return AnnotateTaskParameters(
            **values,
            frames=self.frames if frames is None else _ranges(frames),
            include_ground_truth=True,
            dry_run=True,
            max_failed_frames=_ALL_FRAMES,
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


class EvaluateTaskParameters(DetectionParameters):
    """What to evaluate, and what it is compared with.

    >>> parameters = EvaluateTaskParameters(task_id=12, truth="ground-truth")
    >>> parameters.for_detection([0, 1, 2, 7]).frames
    '0-2,7'
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "What to evaluate, and what it is compared with."},
    )

    truth: Annotated[TruthSource, _TRUTH] = Field(
        title="What counts as true",
        default="auto",
        description="What counts as true: the accepted ground-truth job (ground-truth), the jobs "
        "that people finished (finished), or the first of these that there is (auto)",
    )
    truth_jobs: Annotated[list[int] | None, _TRUTH] = Field(
        title="Jobs that count as true",
        default=None,
        description="Ids of jobs whose annotations count as true. In a job that is not finished, "
        "frames with unchanged annotations of a function are left out.",
    )
    truth_file: Annotated[str | None, _TRUTH] = Field(
        title="File with the truth",
        default=None,
        description="File with the true annotations, on the machine of the run: COCO (JSON) or "
        "CVAT for images or video (XML). Images are recognised by their names.",
    )
    iou: Annotated[float, _FIGURES] = Field(
        title="Least likeness (IoU)",
        default=0.5,
        ge=0.1,
        le=1,
        description="How alike a detection and a true object must be to belong together (IoU; OKS "
        "for skeletons)",
    )
    min_precision: Annotated[float | None, _FIGURES] = Field(
        default=None,
        gt=0,
        lt=1,
        description="Suggest for each label the lowest threshold that surely has this precision. "
        "Empty: the threshold with the best F1.",
    )

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        if self.truth_file and (self.truth_jobs is not None or self.truth != "auto"):
            raise ValueError("truth_file contradicts truth and truth_jobs: choose one")
        if self.truth_jobs is not None and self.truth != "auto":
            raise ValueError("truth_jobs contradicts truth: choose one")
        return self


class CompareFunctionsParameters(EvaluateTaskParameters):
    """Which two functions to compare on the same frames.

    >>> parameters = CompareFunctionsParameters(task_id=12, other_function="mine.py")
    >>> parameters.for_other().function
    'mine.py'
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "Which two functions to compare on the same frames."},
    )

    other_function: Annotated[str, _DETECTIONS] = Field(
        min_length=1,
        description="The function that may be better: a module or the path of a .py file, or the "
        "same function with other parameters",
    )
    other_function_parameters: Annotated[dict[str, Any] | None, _DETECTIONS] = Field(
        default=None, description="Arguments for the create(...) of the other function"
    )

    def for_one(self) -> EvaluateTaskParameters:
        """Return the options for evaluating the function."""
        return EvaluateTaskParameters(**self._shared())

    def for_other(self) -> EvaluateTaskParameters:
        """Return the options for evaluating the other function."""
        function = {
            "function": self.other_function,
            "function_parameters": self.other_function_parameters or {},
        }
        return EvaluateTaskParameters(**{**self._shared(), **function})

    def _shared(self) -> dict[str, Any]:
        return self.model_dump(exclude={"other_function", "other_function_parameters"})


class RankFramesParameters(DetectionParameters):
    """Which frames to rank by the doubts that detections raise.

    >>> RankFramesParameters(task_id=12, conf_threshold=0.4, lowest_score=0.3).thresholds()
    {'*': 0.4}
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "Which frames to rank by the doubts of detections."},
    )

    other_function: Annotated[str | None, _DETECTIONS] = Field(
        title="Another AA function",
        default=None,
        min_length=1,
        description="Another AA function, as a module or the path of a .py file: what only one of "
        "both detects is doubtful",
    )
    other_function_parameters: Annotated[dict[str, Any] | None, _DETECTIONS] = Field(
        title="Parameters of the other function",
        default=None,
        description="Arguments for the create(...) of the other function",
    )

    @model_validator(mode="after")
    def _parameters_have_a_function(self) -> Self:
        if self.other_function_parameters and not self.other_function:
            raise ValueError("other_function_parameters without other_function")
        return self

    def for_other(self) -> AnnotateTaskParameters | None:
        """Return the options for detecting with the other function."""
        if self.other_function is None:
            return None
        return self.for_detection().model_copy(
            update={
                "function": self.other_function,
                "function_parameters": self.other_function_parameters or {},
            }
        )


def _ranges(numbers: Iterable[int]) -> str:
    """Write frame numbers as ranges."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
