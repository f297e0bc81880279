"""The rules of a sweep: which CVAT tasks to annotate, with which function and options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cvat_flows.flows.function_fields import (
    DEFAULT_FUNCTION,
    FunctionName,
    FunctionParameters,
)
from cvat_flows.flows.option import Option
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.evaluate.quality.gate import MIN_OBJECTS, Gate, MeasuredBy
from cvat_flows.tasks.model.errors import CvatFlowsError

Status = Literal["annotation", "validation", "completed"]
Reason = Literal["failed", "frames", "function", "better"]

Share = Annotated[float, Field(gt=0, le=1)]

NOT_IN_OPTIONS = {"task_id", "function", "function_parameters", "server", "clear_existing"}


class RulesError(CvatFlowsError):
    """A rules file cannot be read, or a rule is wrong."""


class SweepRule(BaseModel):
    """Which CVAT tasks to annotate, with which function.

    >>> rule = SweepRule(projects=["cars"], options={"conf_threshold": 0.4})
    >>> rule.for_task(12).conf_threshold
    0.4
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "description": "Which CVAT tasks to annotate, with which function. An empty condition "
            "is always true."
        },
    )

    name: str = Field(title="Name", default="", description="Name of the rule, for reports")
    projects: Annotated[list[str], Option(metavar="PROJECT")] = Field(
        title="Projects",
        default_factory=list,
        description="Names or ids of CVAT projects. Empty: all tasks.",
    )
    task_name: Annotated[str | None, Option(metavar="PATTERN")] = Field(
        title="Name of the task",
        default=None,
        description="Pattern for the task's name, with the wildcards * and ?; ignores case",
    )
    labels: Annotated[list[str], Option(metavar="LABEL")] = Field(
        title="Labels",
        default_factory=list,
        description="Labels that the task must have (all of them)",
    )
    subsets: Annotated[list[str], Option(metavar="SUBSET")] = Field(
        title="Subsets", default_factory=list, description="Subsets, for example Train. Empty: any."
    )
    assignees: Annotated[list[str], Option(metavar="USER")] = Field(
        title="Assignees", default_factory=list, description="User names of the assignee"
    )
    statuses: Annotated[list[Status], Option(metavar="STATUS")] = Field(
        title="Stages",
        default_factory=list,
        description="Stages of the task. Empty: any. [annotation] leaves out tasks that people "
        "have completed.",
    )
    organization: Annotated[str | None, Option(metavar="SLUG")] = Field(
        title="Organization",
        default=None,
        description="Short name of the CVAT organization. Empty: the organization of the server "
        "block.",
    )
    filter: Annotated[str | None, Option(metavar="JSON")] = Field(
        title="CVAT filter",
        default=None,
        description="CVAT filter in JSON logic, as CVAT's task list creates it. Applies in "
        "addition to the other conditions.",
    )
    function: FunctionName = Field(title="AA function", default=DEFAULT_FUNCTION)
    function_parameters: FunctionParameters = Field(
        title="Function parameters", default_factory=dict
    )
    options: dict[str, Any] = Field(
        title="Options of annotate-task",
        default_factory=dict,
        description="Options of annotate-task by name, for example {conf_threshold: 0.4}. "
        "With {fresh: true} every sweep annotates all tasks again.",
    )
    only_unannotated: bool = Field(
        title="Only frames without annotations",
        default=True,
        description="Annotate only frames that have no tag, no shape and no visible track, and "
        "frames that a changed function must annotate again. People's work is not touched.",
    )
    again_when: Annotated[list[Reason], Option(metavar="REASON")] = Field(
        title="When to annotate again",
        default=["failed", "frames"],
        description="When to annotate a finished task again: frames failed (failed), frames were "
        "added or restored (frames), or the function's code, weights, parameters or options "
        "changed (function), or only if that made it better (better; see docs/evaluation.md). With "
        "existing: replace among the options the old annotations are deleted.",
    )
    min_precision: Annotated[dict[str, Share], Option(metavar="YAML")] = Field(
        title="Least precision",
        default_factory=dict,
        description="Leave the tasks while the measured precision of the function is lower, by "
        "label of the task, for example {car: 0.9}; '*' is all labels together. What cannot be "
        "judged counts as too low. See docs/evaluation.md.",
    )
    min_recall: Annotated[dict[str, Share], Option(metavar="YAML")] = Field(
        title="Least recall",
        default_factory=dict,
        description="The same for the recall",
    )
    min_objects: Annotated[int, Option(metavar="OBJECTS")] = Field(
        title="Least number of objects",
        default=MIN_OBJECTS,
        ge=1,
        description="On how many objects of a label its precision or recall must have been "
        "measured",
    )
    measured_by: MeasuredBy = Field(
        title="Measured by",
        default="any",
        description="What counts as measured: the newest review of all finished tasks (review), "
        "the newest evaluations of the function (evaluation), or the review if it has enough "
        "objects, else the evaluations (any)",
    )
    limit: Annotated[int | None, Option(metavar="TASKS")] = Field(
        title="Maximum number of tasks",
        default=None,
        ge=1,
        description="Maximum number of CVAT tasks. Empty: all new tasks.",
    )
    order: Literal["oldest", "newest"] = Field(
        title="Order", default="oldest", description="Which CVAT tasks come first"
    )

    @field_validator("projects", mode="before")
    @classmethod
    def _ids_are_text(cls, value: Any) -> Any:
        if not isinstance(value, list | None):
            return value
        return [str(one) if isinstance(one, int) else one for one in value or []]

    @field_validator("min_precision", "min_recall", mode="before")
    @classmethod
    def _figures_have_labels(cls, value: Any) -> Any:
        if not isinstance(value, dict | None):
            raise ValueError("should be a mapping such as {car: 0.9}")
        return value or {}

    @model_validator(mode="after")
    def _options_are_known(self) -> SweepRule:
        own = sorted(NOT_IN_OPTIONS & set(self.options))
        if own:
            raise ValueError(f"options: {', '.join(own)} not allowed here")
        self.for_task(1)
        return self

    @model_validator(mode="after")
    def _quality_is_consistent(self) -> SweepRule:
        if not self.gate:
            for name in ("min_objects", "measured_by"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} has no effect without min_precision or min_recall")
        if "better" in self.again_when and "function" in self.again_when:
            raise ValueError("again_when: function and better contradict each other; choose one")
        if "better" in self.again_when and not self.for_task(1).only_unannotated:
            raise ValueError("again_when: better needs only_unannotated: true")
        return self

    @property
    def gate(self) -> Gate:
        """What the rule wants of its function."""
        return Gate(
            min_precision=self.min_precision,
            min_recall=self.min_recall,
            min_objects=self.min_objects,
            measured_by=self.measured_by,
        )

    def for_task(
        self, task_id: int, *, server: str | None = None, renew: bool = False
    ) -> AnnotateTaskParameters:
        """Return the parameters for annotating one CVAT task by this rule.

        With `renew`, frames that another version has annotated are annotated again.
        """
        return AnnotateTaskParameters(
            **{
                "only_unannotated": self.only_unannotated,
                "renew": renew or "function" in self.again_when,
                **self.options,
                "task_id": task_id,
                "server": server,
                "function": self.function,
                "function_parameters": self.function_parameters,
            }
        )

    def __str__(self) -> str:
        return self.name or ", ".join(self.projects) or "all tasks"
