"""The options of a sweep: its rules, and where it annotates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cvat_flows.flows.function_fields import ServerBlock
from cvat_flows.flows.option import Option
from cvat_flows.flows.sweep.rules import RulesError, SweepRule
from cvat_flows.flows.sweep.rules_file import read_rules

RULES_VARIABLE = "CVAT_FLOWS_RULES"
TaskId = Annotated[int, Field(ge=1)]


class AnnotateNewTasksParameters(BaseModel):
    """The rules of a sweep, and where it annotates.

    >>> parameters = AnnotateNewTasksParameters(rules=[SweepRule(projects=["cars"])], limit=10)
    >>> [str(rule) for rule in parameters.all_rules()]
    ['cars']
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "The rules of a sweep, and where it annotates."},
    )

    rules: list[SweepRule] = Field(
        title="Rules",
        default_factory=list,
        description="Rules. A CVAT task belongs to the first rule that it fits.",
    )
    rules_file: str | None = Field(
        title="Rules file",
        default=None,
        description="YAML file with more rules, on the machine that runs the sweep. Without any "
        "rules: the file that the worker's variable CVAT_FLOWS_RULES names.",
    )
    task_ids: Annotated[list[TaskId] | None, Option(metavar="ID")] = Field(
        title="CVAT tasks",
        default=None,
        description="Ids of CVAT tasks: look only at these, whatever the limits of the rules. "
        "Empty: all tasks.",
    )
    server: Annotated[ServerBlock, Option(metavar="BLOCK")] = Field(
        title="CVATServer block", default=None
    )
    run_in: Literal["process", "deployment"] = Field(
        title="Where to annotate",
        default="process",
        description="Annotate in the sweep's process, one task after the other (process), or start "
        "a run of the deployment for each task (deployment)",
    )
    deployment: Annotated[str, Option(metavar="FLOW/NAME")] = Field(
        title="Deployment",
        default="annotate-task/annotate-task",
        description="Deployment for run_in=deployment, as flow/deployment",
    )
    limit: Annotated[int | None, Option(metavar="TASKS")] = Field(
        title="Maximum number of tasks",
        default=None,
        ge=1,
        description="Maximum number of CVAT tasks, all rules together. Empty: no limit.",
    )
    dry_run: bool = Field(
        title="Dry run", default=False, description="List the new tasks, annotate nothing"
    )

    def all_rules(self) -> list[SweepRule]:
        """Return the rules, then those of the file. Raises RulesError if there are none."""
        file = self.rules_file or (None if self.rules else os.environ.get(RULES_VARIABLE))
        rules = [*self.rules, *(read_rules(Path(file)) if file else [])]
        if not rules:
            raise RulesError(
                "no rules select CVAT tasks: give rules, for example [{projects: [cars]}], a "
                f"rules_file, or a file in the variable {RULES_VARIABLE}"
            )
        return rules
