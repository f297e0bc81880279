"""Annotate CVAT tasks with detection functions, as Prefect flows: the public interface.

`annotate_task` replaces `cvat_sdk.auto_annotation.annotate_task` and takes the same arguments. The
flows run as subflows of your own flows, and `annotate_task_here` is for notebooks. `docs/python.md`
shows all of it.

>>> import cvat_flows
>>> function = cvat_flows.load_function("shapes")
>>> [label.name for label in function.function.spec.labels]
['circle', 'square', 'triangle', 'star']
>>> parameters = cvat_flows.AnnotateTaskParameters(task_id=12, function="shapes")
>>> parameters.existing
'keep'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aa_functions.exports import lazy_exports

if TYPE_CHECKING:
    from aa_functions.reference import LoadedFunction, load_function
    from cvat_flows.flows.annotate import FramesFailed
    from cvat_flows.flows.annotate_new import SweepFailed
    from cvat_flows.flows.driver import annotate_task
    from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
    from cvat_flows.flows.in_process import annotate_task_here
    from cvat_flows.flows.maintain import MaintainParameters
    from cvat_flows.flows.parameters import AnnotateTaskParameters
    from cvat_flows.flows.prefect_flows import (
        annotate_new_tasks_flow,
        annotate_task_flow,
        evaluate_task_flow,
        maintain_flow,
    )
    from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
    from cvat_flows.flows.sweep.report import SweepReport
    from cvat_flows.flows.sweep.rules import SweepRule
    from cvat_flows.tasks.model.errors import CvatFlowsError
    from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
    from cvat_flows.tasks.reports.run_report import RunReport

__all__ = [
    "AnnotateNewTasksParameters",
    "AnnotateTaskParameters",
    "CvatFlowsError",
    "EvaluateTaskParameters",
    "EvaluationReport",
    "FramesFailed",
    "LoadedFunction",
    "MaintainParameters",
    "RunReport",
    "SweepFailed",
    "SweepReport",
    "SweepRule",
    "annotate_new_tasks_flow",
    "annotate_task",
    "annotate_task_flow",
    "annotate_task_here",
    "evaluate_task_flow",
    "load_function",
    "maintain_flow",
]

_HOMES = {
    "AnnotateNewTasksParameters": "cvat_flows.flows.sweep.parameters",
    "AnnotateTaskParameters": "cvat_flows.flows.parameters",
    "CvatFlowsError": "cvat_flows.tasks.model.errors",
    "EvaluateTaskParameters": "cvat_flows.flows.evaluation.parameters",
    "EvaluationReport": "cvat_flows.tasks.reports.evaluation.report",
    "FramesFailed": "cvat_flows.flows.annotate",
    "LoadedFunction": "aa_functions.reference",
    "MaintainParameters": "cvat_flows.flows.maintain",
    "RunReport": "cvat_flows.tasks.reports.run_report",
    "SweepFailed": "cvat_flows.flows.annotate_new",
    "SweepReport": "cvat_flows.flows.sweep.report",
    "SweepRule": "cvat_flows.flows.sweep.rules",
    "annotate_new_tasks_flow": "cvat_flows.flows.prefect_flows",
    "annotate_task": "cvat_flows.flows.driver",
    "annotate_task_here": "cvat_flows.flows.in_process",
    "annotate_task_flow": "cvat_flows.flows.prefect_flows",
    "evaluate_task_flow": "cvat_flows.flows.prefect_flows",
    "load_function": "aa_functions.reference",
    "maintain_flow": "cvat_flows.flows.prefect_flows",
}

# Imported on first use: the command line sets Prefect's settings before Prefect is imported.
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
