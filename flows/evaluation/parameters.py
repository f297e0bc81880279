"""The options for evaluating a function, for comparing two, and for ranking frames."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from cvat_flows.flows.evaluation.detection_parameters import DetectionParameters
from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.evaluate.truth.choose import TruthSource

_TRUTH = Option(group="truth")
_FIGURES = Option(group="figures")
_DETECTIONS = Option(group="detections")
_ISSUES = Option(group="issues", metavar="N")


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

    issues: Annotated[int | None, _ISSUES] = Field(
        title="CVAT issues",
        default=None,
        ge=1,
        le=1000,
        description="Create CVAT issues on the first so many frames, once each. Empty: none.",
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
