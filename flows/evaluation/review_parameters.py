"""The options of reviews: what became of uploaded annotations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cvat_flows.flows.evaluation.detection_parameters import detection_only, same_field
from cvat_flows.flows.function_fields import ServerBlock
from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters

_OWN = Option(has_own_argument=True)
_FUNCTION = ("conf_threshold", "conv_mask_to_poly", "label_mapping", "allow_unmatched_labels")


class ReviewTaskParameters(BaseModel):
    """Which task to review.

    >>> ReviewTaskParameters(task_id=12).for_detection() is None
    True
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "Which task to review."},
    )

    task_id: int = same_field("task_id")
    function: Annotated[str | None, _OWN] = Field(
        default=None,
        min_length=1,
        description="AA function that was used. Its cached detections tell moved from relabelled "
        "annotations, and the labels of deleted ones. Empty: all functions, without these facts.",
    )
    function_parameters: Annotated[dict[str, Any], _OWN] = Field(
        default_factory=dict, description="Arguments for the function's create(...)"
    )
    function_name: str | None = same_field("function_name")
    server: ServerBlock = None
    jobs: Annotated[list[int] | None, Option(group="frames")] = Field(
        default=None,
        description="Ids of the jobs to review. Empty: those that people have finished.",
    )
    conf_threshold: float | None = same_field("conf_threshold")
    conv_mask_to_poly: bool = same_field("conv_mask_to_poly")
    label_mapping: dict[str, Any] | None = same_field("label_mapping")
    allow_unmatched_labels: bool = same_field("allow_unmatched_labels")

    @model_validator(mode="after")
    def _options_have_a_function(self) -> ReviewTaskParameters:
        if self.function is None:
            given = sorted(self.model_fields_set & {*_FUNCTION, "function_parameters"})
            given = [name for name in given if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)} without a function")
        return self

    def for_detection(self, frames: str | None = None) -> AnnotateTaskParameters | None:
        """Return the options for detecting on the frames as when they were annotated.

        None without a function.
        """
        if self.function is None:
            return None
        names = {"task_id", "function", "function_parameters", "function_name", "server"}
        return detection_only(self.model_dump(include={*names, *_FUNCTION}), frames)


class ReviewFinishedTasksParameters(BaseModel):
    """Which tasks to review.

    >>> ReviewFinishedTasksParameters().days
    90
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "Review the jobs that people have finished."},
    )

    server: ServerBlock = None
    days: int = Field(
        default=90,
        ge=1,
        description="Review what was uploaded in the last so many days",
    )
    keep_figures: bool = Field(
        default=True,
        description="Keep the figures for the history and for the gates of rules. The newest ones "
        "count.",
    )
