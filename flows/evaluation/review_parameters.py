"""The options of reviews: what became of uploaded annotations."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters, ServerBlock

_OWN = Option(has_own_argument=True)
_FUNCTION = ("conf_threshold", "conv_mask_to_poly", "label_mapping", "allow_unmatched_labels")
_ALL_FRAMES = 10**9


def _same(name: str) -> Any:
    return copy(AnnotateTaskParameters.model_fields[name])


class ReviewTaskParameters(BaseModel):
    """Which task to review.

    >>> ReviewTaskParameters(task_id=12).for_detection() is None
    True
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "Which task to review."},
    )

    task_id: int = _same("task_id")
    function: Annotated[str | None, _OWN] = Field(
        default=None,
        min_length=1,
        description="AA function that was used. Its cached detections tell moved from relabelled "
        "annotations, and the labels of deleted ones. Empty: all functions, without these facts.",
    )
    function_parameters: Annotated[dict[str, Any], _OWN] = Field(
        default_factory=dict, description="Arguments for the function's create(...)"
    )
    function_name: str | None = _same("function_name")
    server: ServerBlock = None
    jobs: Annotated[list[int] | None, Option(group="frames")] = Field(
        default=None,
        description="Ids of the jobs to review. Empty: those that people have finished.",
    )
    conf_threshold: float | None = _same("conf_threshold")
    conv_mask_to_poly: bool = _same("conv_mask_to_poly")
    label_mapping: dict[str, Any] | None = _same("label_mapping")
    allow_unmatched_labels: bool = _same("allow_unmatched_labels")

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
        return AnnotateTaskParameters(
            **self.model_dump(
                include={
                    "task_id", "function", "function_parameters", "function_name", "server",
                    *_FUNCTION,
                }
            ),
            frames=frames,
            include_ground_truth=True,
            dry_run=True,
            max_failed_frames=_ALL_FRAMES,
        )  # fmt: skip


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
