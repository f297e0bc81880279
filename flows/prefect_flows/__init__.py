"""The Prefect flows: what a deployment, a worker or your own flow runs.

Deployments name a flow as `cvat_flows.flows.prefect_flows.annotate_task_flow`, so all flows can be
imported from here. Without a Prefect server, `flows/in_process.py` runs the same steps in threads.
"""

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
