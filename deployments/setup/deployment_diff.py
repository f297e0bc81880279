"""Compare a wanted deployment with the one on the server, and merge the two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from attrs import evolve
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation
from prefect.utilities.callables import parameter_schema
from pydantic import TypeAdapter

from cvat_flows.deployments.setup.changes import list_differences, merge
from cvat_flows.deployments.setup.deployment_file import DEFAULT_QUEUE, WantedDeployment

_Interval: TypeAdapter[timedelta] = TypeAdapter(timedelta)
_SCHEDULE_KINDS = ("cron", "interval", "rrule")


def diff_deployment(wanted: WantedDeployment, on_server: DeploymentResponse) -> list[str]:
    """List what the file states and the server has differently. Triggers are left out."""
    entry = wanted.entry
    differences = list_differences(
        {
            "entrypoint": on_server.entrypoint,
            "work pool": on_server.work_pool_name,
            "queue": on_server.work_queue_name or DEFAULT_QUEUE,
            "description": on_server.description,
            "tags": sorted(on_server.tags),
            "parameters": on_server.parameters,
            "job variables": on_server.job_variables or {},
            "pull": on_server.pull_steps or [],
            "concurrency": _concurrency_limit(on_server),
        },
        {
            "entrypoint": entry["entrypoint"],
            "work pool": wanted.pool,
            "queue": wanted.queue,
            "description": entry.get("description"),
            "tags": sorted(entry.get("tags", [])),
            "parameters": entry.get("parameters", {}),
            "job variables": entry["work_pool"].get("job_variables") or {},
            "pull": [],
            "concurrency": entry.get("concurrency_limit"),
        },
    )
    schema = parameter_schema(wanted.flow).model_dump()
    if list_differences(on_server.parameter_openapi_schema, schema):
        differences.append("the form of its parameters")
    return differences + diff_schedules(entry.get("schedules", []), on_server)


def diff_schedules(wanted: list[dict[str, Any]], on_server: DeploymentResponse) -> list[str]:
    """List the schedules of the file that the server lacks or has differently."""
    existing = {schedule.slug: schedule.schedule for schedule in on_server.schedules}
    differences = []
    for schedule in wanted:
        slug = schedule.get("slug")
        new = {name: schedule[name] for name in (*_SCHEDULE_KINDS, "timezone") if name in schedule}
        if "interval" in new:
            new["interval"] = _Interval.validate_python(new["interval"])
        if "cron" in new:
            new.setdefault("timezone", None)
        old = existing.get(slug)
        if old is None:
            differences.append(f"schedule {describe_schedule(schedule)}")
            continue
        stated = {name: getattr(old, name, None) for name in new}
        differences += list_differences(stated, new, path=f"schedule {slug}")
    return differences


def describe_schedule(schedule: dict[str, Any]) -> str:
    """Say when a schedule of the file starts runs."""
    when = next((f"{kind} {schedule[kind]}" for kind in _SCHEDULE_KINDS if kind in schedule), "")
    return f"{schedule.get('slug') or 'without a slug'}: {when} {schedule.get('timezone') or 'UTC'}"


def keep_server_choices(
    wanted: WantedDeployment, on_server: DeploymentResponse
) -> WantedDeployment:
    """Replace what people may choose by what the server has.

    What belongs to this version of the project stays as in the file: entrypoint, parameter form,
    triggers, and parameters and tags that the server lacks.
    """
    entry = {
        **wanted.entry,
        "description": on_server.description,
        "tags": sorted({*wanted.entry.get("tags", []), *on_server.tags}),
        "parameters": merge(wanted.entry.get("parameters", {}), on_server.parameters),
        "concurrency_limit": _concurrency_limit(on_server),
    }
    # Without `schedules`, `prefect deploy` leaves the existing ones alone.
    entry.pop("schedules", None)
    result = evolve(wanted, entry=entry)
    remaining = diff_deployment(result, on_server)
    kept = [text for text in diff_deployment(wanted, on_server) if text not in remaining]
    return evolve(result, kept=tuple(kept))


def deploy_entry(
    wanted: WantedDeployment,
    on_server: DeploymentResponse | None,
    triggers: Sequence[Automation] = (),
) -> dict[str, Any]:
    """Return the entry for `prefect deploy`.

    It keeps what other people set and the file does not state: further parameters, job variables,
    and what is paused or switched off.
    """
    entry = dict(wanted.entry)
    if on_server is None:
        return entry
    entry["paused"] = on_server.paused
    entry["parameters"] = merge(on_server.parameters, entry.get("parameters", {}))
    variables = merge(on_server.job_variables, entry["work_pool"].get("job_variables", {}))
    entry["work_pool"] = {**entry["work_pool"], "job_variables": variables}
    enabled: dict[str | None, bool] = {trigger.name: trigger.enabled for trigger in triggers}
    entry["triggers"] = [
        {**trigger, "enabled": enabled.get(trigger.get("name"), trigger.get("enabled", True))}
        for trigger in entry.get("triggers", [])
    ]
    active = {schedule.slug: schedule.active for schedule in on_server.schedules}
    entry["schedules"] = [
        {**schedule, "active": active.get(schedule.get("slug"), schedule.get("active", True))}
        for schedule in entry.get("schedules", [])
    ]
    return entry


def _concurrency_limit(on_server: DeploymentResponse) -> dict[str, Any] | None:
    limit = on_server.global_concurrency_limit
    if limit is None:
        return None
    options = on_server.concurrency_options
    strategy = options.collision_strategy.value if options else None
    return {"limit": limit.limit, "collision_strategy": strategy}
