"""The Prefect flows: what a deployment, a worker or your own flow runs.

Deployments name a flow as `cvat_flows.flows.prefect_flows.annotate_task_flow`, so all flows can be
imported from here. Each is imported on first use: a run needs one of them, and making a flow of a
function takes Prefect a while. Without a Prefect server, `flows/in_process.py` runs the same steps
in threads.
"""

from typing import TYPE_CHECKING

from aa_functions.exports import lazy_exports

if TYPE_CHECKING:
    from cvat_flows.flows.prefect_flows.annotating import annotate_task_flow, detect_jobs_flow
    from cvat_flows.flows.prefect_flows.evaluating import (
        compare_functions_flow,
        evaluate_task_flow,
        rank_frames_flow,
        review_finished_tasks_flow,
        review_task_flow,
    )
    from cvat_flows.flows.prefect_flows.maintaining import maintain_flow
    from cvat_flows.flows.prefect_flows.sweeping import annotate_new_tasks_flow

__all__ = [
    "annotate_new_tasks_flow",
    "annotate_task_flow",
    "compare_functions_flow",
    "detect_jobs_flow",
    "evaluate_task_flow",
    "maintain_flow",
    "rank_frames_flow",
    "review_finished_tasks_flow",
    "review_task_flow",
]

_HOMES = {
    "annotate_new_tasks_flow": "cvat_flows.flows.prefect_flows.sweeping",
    "annotate_task_flow": "cvat_flows.flows.prefect_flows.annotating",
    "compare_functions_flow": "cvat_flows.flows.prefect_flows.evaluating",
    "detect_jobs_flow": "cvat_flows.flows.prefect_flows.annotating",
    "evaluate_task_flow": "cvat_flows.flows.prefect_flows.evaluating",
    "maintain_flow": "cvat_flows.flows.prefect_flows.maintaining",
    "rank_frames_flow": "cvat_flows.flows.prefect_flows.evaluating",
    "review_finished_tasks_flow": "cvat_flows.flows.prefect_flows.evaluating",
    "review_task_flow": "cvat_flows.flows.prefect_flows.evaluating",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
