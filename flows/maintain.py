"""The flow `maintain`: keep what the project stores within bounds."""

# No postponed annotations where a flow is: `serve` hands it to another process by value, and there
# the names in them are not found.

from datetime import timedelta
from typing import Any

from prefect import flow
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict, Field

from cvat_flows.tasks.detect.pruning import MAX_AGE, MAX_BYTES, Limits, Pruned, prune_to
from cvat_flows.tasks.storage import open_storage


class MaintainParameters(BaseModel):
    """How much is kept. Manifests are never touched: they are the record, not a cache."""

    model_config = ConfigDict(extra="forbid")

    cache_days: int = Field(
        default=MAX_AGE.days, ge=0, description="Detections older than this many days are removed"
    )
    cache_gigabytes: float = Field(
        default=MAX_BYTES / 1e9,
        ge=0,
        description="Beyond this size the oldest detections are removed, in GB",
    )
    results_days: int = Field(
        default=MAX_AGE.days,
        ge=0,
        description="Per-frame tables and previews older than this many days are removed",
    )
    results_gigabytes: float = Field(
        default=MAX_BYTES / 1e9,
        ge=0,
        description="Beyond this size the oldest tables and previews are removed, in GB",
    )


@flow(name="maintain", flow_run_name="prune caches", persist_result=False)
def maintain_flow(parameters: MaintainParameters | None = None) -> Any:
    """Prune the caches of detections, which are detected anew when they are needed, and results.

    Runs of annotate-task keep to these bounds, too: one of them prunes each day.
    """
    wanted = parameters or MaintainParameters()
    pruned = prune_to(
        open_storage(),
        Limits(
            max_age=timedelta(days=wanted.cache_days),
            max_bytes=int(wanted.cache_gigabytes * 1e9),
            results_max_age=timedelta(days=wanted.results_days),
            results_max_bytes=int(wanted.results_gigabytes * 1e9),
        ),
    )
    return Completed(message=sentence(pruned), data=pruned)


def sentence(pruned: Pruned) -> str:
    """What was removed and what is left."""
    return (
        f"{pruned.removed:,} files removed ({pruned.removed_size / 1e6:,.1f} MB), "
        f"{pruned.kept:,} kept ({pruned.kept_size / 1e6:,.1f} MB)"
    )
