"""Limit the size and age of stored files."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from cvat_flows.tasks.detect.pruning import MAX_AGE, MAX_BYTES, Limits, Pruned, prune_to
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.storage import open_storage


class MaintainParameters(BaseModel):
    """Limits for stored files.

    >>> MaintainParameters(cache_days=30).cache_days
    30
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "description": "Limits for stored files. Manifests are never deleted: they are records,"
            " not a cache."
        },
    )

    cache_days: int = Field(
        title="Days to keep cached detections",
        default=MAX_AGE.days,
        ge=0,
        description="Delete cached detections older than this many days",
    )
    cache_gigabytes: float = Field(
        title="Size of the cache, in GB",
        default=MAX_BYTES / 1e9,
        ge=0,
        description="Delete the oldest cached detections beyond this size in GB",
    )
    results_days: int = Field(
        title="Days to keep tables and previews",
        default=MAX_AGE.days,
        ge=0,
        description="Delete per-frame tables and previews older than this many days",
    )
    results_gigabytes: float = Field(
        title="Size of tables and previews, in GB",
        default=MAX_BYTES / 1e9,
        ge=0,
        description="Delete the oldest tables and previews beyond this size in GB",
    )


def maintain(limits: MaintainParameters) -> Pruned:
    """Delete what is beyond the limits."""
    return prune_to(
        open_storage(),
        Limits(
            max_age=timedelta(days=limits.cache_days),
            max_bytes=int(limits.cache_gigabytes * 1e9),
            results_max_age=timedelta(days=limits.results_days),
            results_max_bytes=int(limits.results_gigabytes * 1e9),
        ),
    )


def sentence(pruned: Pruned) -> str:
    """Describe what was deleted and what is left."""
    return (
        f"{counted(pruned.removed, 'file')} deleted ({pruned.removed_size / 1e6:,.1f} MB), "
        f"{pruned.kept:,} kept ({pruned.kept_size / 1e6:,.1f} MB)"
    )
