"""The flow that limits the size and age of stored files."""

# No `from __future__ import annotations` here: `serve` sends a flow to another process by value,
# and there the names in string annotations are not found.

from collections.abc import Mapping
from typing import Any

from prefect import flow

from cvat_flows.flows.form import read_parameters, takes_fields_of
from cvat_flows.flows.maintain import MaintainParameters, maintain, sentence
from cvat_flows.flows.prefect_flows.ending import ended


@flow(
    name="maintain",
    description="Delete old cached detections, per-frame tables and previews.",
    flow_run_name="prune caches",
    persist_result=False,
)
@takes_fields_of(MaintainParameters)
def maintain_flow(parameters: Mapping[str, Any]) -> Any:
    """Delete old detections from the cache, and old per-frame tables and previews.

    Deleted detections are detected again when needed. Runs of annotate-task also apply the limits,
    once a day.

    The flow takes the fields of `MaintainParameters` by name.

    Returns:
        What was deleted and what is left.

    >>> maintain_flow(cache_days=30).removed
    0
    """
    return ended(lambda: maintain(read_parameters(MaintainParameters, parameters)), sentence)
