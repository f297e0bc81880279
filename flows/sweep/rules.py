"""What a sweep looks for: rules that say which CVAT tasks get which function with which options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cvat_flows.flows.parameters import (
    DEFAULT_FUNCTION,
    AnnotateTaskParameters,
    FunctionName,
    FunctionParameters,
    ServerBlock,
)
from cvat_flows.tasks.matching.strict_yaml import load_yaml
from cvat_flows.tasks.model.errors import CvatFlowsError

Status = Literal["annotation", "validation", "completed"]
Reason = Literal["failed", "frames", "function"]

RULES_VARIABLE = "CVAT_FLOWS_RULES"

_RULES_OWN = {"task_id", "function", "function_parameters", "server", "clear_existing"}


class RulesError(CvatFlowsError):
    """A file of rules cannot be read, or a rule in it is wrong."""


class SweepRule(BaseModel):
    """Which CVAT tasks are annotated, with which function. An empty condition always holds."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", description="Name of the rule in reports")
    projects: list[str] = Field(
        default_factory=list, description="Names or ids of CVAT projects; empty: all tasks"
    )
    task_name: str | None = Field(
        default=None,
        description="Pattern of the task's name with the wildcards * and ?, case ignored",
    )
    labels: list[str] = Field(
        default_factory=list, description="Labels that the task must have, all of them"
    )
    subsets: list[str] = Field(
        default_factory=list, description="Subsets, for example Train; empty: any"
    )
    assignees: list[str] = Field(default_factory=list, description="User names of the assignee")
    statuses: list[Status] = Field(
        default_factory=list,
        description="Stage of the task; empty: any. Tasks that people have completed are usually "
        "left alone with [annotation]",
    )
    organization: str | None = Field(
        default=None,
        description="Slug of the organization whose tasks are listed; empty: as the server block "
        "says",
    )
    filter: str | None = Field(
        default=None,
        description="CVAT filter in JSON logic, as CVAT's own task list makes it; it holds in "
        "addition to the rest",
    )
    function: FunctionName = DEFAULT_FUNCTION
    function_parameters: FunctionParameters = Field(default_factory=dict)
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of annotate-task by name, for example {conf_threshold: 0.4}",
    )
    only_unannotated: bool = Field(
        default=True,
        description="Only frames that have no tag and no shape yet, and those that a changed "
        "function is to do again: people's work is left as it is",
    )
    again_when: list[Reason] = Field(
        default=["failed", "frames"],
        description="What makes a task new again that this function has done: frames that failed, "
        "frames that were added or restored, a changed function (its code, weights, parameters or "
        "options; with existing: replace in the options the old annotations go)",
    )
    limit: int | None = Field(
        default=None, ge=1, description="How many CVAT tasks at most; empty: all that are new"
    )
    order: Literal["oldest", "newest"] = Field(
        default="oldest", description="Which CVAT tasks come first"
    )

    @field_validator("projects", mode="before")
    @classmethod
    def _ids_are_text(cls, value: Any) -> Any:
        return [str(one) if isinstance(one, int) else one for one in value or []]

    @model_validator(mode="after")
    def _options_are_known(self) -> SweepRule:
        own = sorted(_RULES_OWN & set(self.options))
        if own:
            raise ValueError(f"options: {', '.join(own)} cannot stand there")
        self.for_task(1)
        return self

    def for_task(self, task_id: int, *, server: str | None = None) -> AnnotateTaskParameters:
        """The parameters of annotating one CVAT task by this rule."""
        return AnnotateTaskParameters(
            **{
                "only_unannotated": self.only_unannotated,
                "renew": "function" in self.again_when,
                **self.options,
                "task_id": task_id,
                "server": server,
                "function": self.function,
                "function_parameters": self.function_parameters,
            }
        )

    def __str__(self) -> str:
        return self.name or ", ".join(self.projects) or "all tasks"


class AnnotateNewTasksParameters(BaseModel):
    """Which CVAT tasks a sweep looks at, and where it annotates them."""

    model_config = ConfigDict(extra="forbid")

    rules: list[SweepRule] = Field(
        default_factory=list, description="Rules; the first that fits a CVAT task counts"
    )
    rules_file: str | None = Field(
        default=None,
        description="YAML file with a list of rules, on the machine that sweeps; they come after "
        "those above. With neither, the file that the worker's variable CVAT_FLOWS_RULES names",
    )
    server: ServerBlock = None
    run_in: Literal["process", "deployment"] = Field(
        default="process",
        description="Annotate in the sweep's own process, one task after the other with the model "
        "loaded once; or hand each task to the deployment",
    )
    deployment: str = Field(
        default="annotate-task/annotate-task",
        description="Deployment that the tasks are handed to, as flow/deployment",
    )
    limit: int | None = Field(
        default=None, ge=1, description="How many CVAT tasks at most in all; empty: no limit"
    )
    dry_run: bool = Field(default=False, description="Say what is new, annotate nothing")

    def all_rules(self) -> list[SweepRule]:
        """The rules as given and those of the file. Raises RulesError if there are none."""
        file = self.rules_file or (None if self.rules else os.environ.get(RULES_VARIABLE))
        rules = [*self.rules, *(read_rules(Path(file)) if file else [])]
        if not rules:
            raise RulesError(
                "no rule says which CVAT tasks are meant: give one, for example "
                f"rules=[{{projects: [cars]}}], or a file in rules_file or {RULES_VARIABLE}"
            )
        return rules


def read_rules(path: Path) -> list[SweepRule]:
    """Read rules from YAML: a list, or a mapping with the list under `rules`. Raises RulesError."""
    try:
        content = load_yaml(path.read_text())
    except OSError as error:
        raise RulesError(f"the file of rules {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RulesError(f"the file of rules {path} is no YAML: {error}") from error
    rows = content.get("rules") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows:
        raise RulesError(f"the file of rules {path} holds no list of rules")
    return [_rule(path, number, row) for number, row in enumerate(rows, 1)]


def _rule(path: Path, number: int, row: Any) -> SweepRule:
    try:
        return SweepRule.model_validate(row)
    except ValidationError as error:
        name = row.get("name") if isinstance(row, dict) else None
        problems = "; ".join(
            ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
            for one in error.errors()
        )
        where = f"rule {number}" + (f" ({name})" if name else "")
        raise RulesError(f"{where} of {path}: {problems}") from None
