"""What prefect.yaml says, beside what a Prefect server has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, frozen
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import TypeAdapter

from cvat_flows.deployments.setup.changes import SetupError, differences, merged

_FOLDER = Path(__file__).parents[1]
FILE = _FOLDER / "prefect.yaml"
AUTOMATIONS_FILE = _FOLDER / "automations.yaml"
GPU_QUEUE = "gpu"

_Trigger: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


@frozen(kw_only=True)
class WantedDeployment:
    """One deployment of the file."""

    entry: dict[str, Any]
    flow: Flow[..., Any]
    kept: tuple[str, ...] = ()
    """What the server has otherwise than the file, and keeps."""

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def full_name(self) -> str:
        return f"{self.flow.name}/{self.name}"

    @property
    def pool(self) -> str:
        return str(self.entry["work_pool"]["name"])

    @property
    def queue(self) -> str:
        return str(self.entry["work_pool"].get("work_queue_name") or "default")

    @property
    def detects(self) -> bool:
        """Whether its runs go where the GPUs are."""
        return self.queue == GPU_QUEUE

    def on_gpu_pool(self, pool: str) -> WantedDeployment:
        """The same in a pool of the machines with GPUs; in the file's own it stays in its queue."""
        return self if pool == self.pool else self._in(pool, "default")

    def on_pool_of(self, on_server: DeploymentResponse) -> WantedDeployment:
        """The same where the server has it."""
        pool = on_server.work_pool_name
        return self._in(pool, on_server.work_queue_name or "default") if pool else self

    def _in(self, pool: str, queue: str) -> WantedDeployment:
        where = {**self.entry["work_pool"], "name": pool, "work_queue_name": queue}
        return evolve(self, entry={**self.entry, "work_pool": where})

    def keeping(self, on_server: DeploymentResponse) -> WantedDeployment:
        """The same with what people may choose as the server has it. What belongs to this version
        of the project is as the file says: entrypoint, form, triggers, parameters and tags that the
        server lacks."""
        entry = {
            **self.entry,
            "description": on_server.description,
            "tags": sorted({*self.entry.get("tags", []), *on_server.tags}),
            "parameters": merged(self.entry.get("parameters", {}), on_server.parameters),
            "concurrency_limit": _limit_of(on_server),
        }
        # `prefect deploy` leaves the schedules alone if it is given none.
        entry.pop("schedules", None)
        kept = evolve(self, entry=entry)
        stated, changed = self.differences(on_server), kept.differences(on_server)
        return evolve(kept, kept=tuple(one for one in stated if one not in changed))

    def differences(self, on_server: DeploymentResponse) -> list[str]:
        """What the file states and the server has otherwise."""
        found = differences(
            {
                "entrypoint": on_server.entrypoint,
                "work pool": on_server.work_pool_name,
                "queue": on_server.work_queue_name or "default",
                "description": on_server.description,
                "tags": sorted(on_server.tags),
                "parameters": on_server.parameters,
                "pull": on_server.pull_steps or [],
                "concurrency": _limit_of(on_server),
            },
            {
                "entrypoint": self.entry["entrypoint"],
                "work pool": self.pool,
                "queue": self.queue,
                "description": self.entry.get("description"),
                "tags": sorted(self.entry.get("tags", [])),
                "parameters": self.entry.get("parameters", {}),
                "pull": [],
                "concurrency": self.entry.get("concurrency_limit"),
            },
        )
        form = parameter_schema(self.flow).model_dump()
        if differences(on_server.parameter_openapi_schema, form):
            found.append("the form of its parameters")
        return found + _schedule_differences(self.entry.get("schedules", []), on_server)

    def over(
        self, on_server: DeploymentResponse | None, automations: Sequence[Automation] = ()
    ) -> dict[str, Any]:
        """The entry for `prefect deploy` that keeps what other people set and the file does not
        state: further parameters, job variables, and what is paused or switched off."""
        entry = dict(self.entry)
        if on_server is None:
            return entry
        entry["paused"] = on_server.paused
        entry["parameters"] = merged(on_server.parameters, entry.get("parameters", {}))
        variables = merged(on_server.job_variables, entry["work_pool"].get("job_variables", {}))
        entry["work_pool"] = {**entry["work_pool"], "job_variables": variables}
        enabled: dict[str | None, bool] = {one.name: one.enabled for one in automations}
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

    def triggers(self, deployment_id: Any) -> list[AutomationCore]:
        """The automations that start the deployment, as `prefect deploy` makes them."""
        made = []
        for spec in self.entry.get("triggers", []):
            trigger = _Trigger.validate_python(spec)
            trigger.set_deployment_id(deployment_id)
            made.append(trigger.as_automation())
        return made


def read_deployments(path: Path = FILE) -> list[WantedDeployment]:
    """Read prefect.yaml. Raises SetupError."""
    try:
        entries = yaml.safe_load(path.read_text())["deployments"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise SetupError(f"{path} cannot be read as a prefect.yaml: {error}") from error
    wanted = []
    for entry in entries:
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"])
            wanted.append(WantedDeployment(entry=entry, flow=flow))
        except Exception as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise SetupError(
                f"the deployment {name!r} of {path} cannot be used: {type(error).__name__}: {error}"
            ) from error
    return wanted


def same_automation(one: AutomationCore, other: AutomationCore) -> bool:
    """Whether two automations do the same, whatever their ids."""
    return _plain(one) == _plain(other)


def _plain(automation: AutomationCore) -> dict[str, Any]:
    plain = automation.model_dump(mode="json", include=_COMPARED)
    trigger = plain["trigger"]
    trigger.pop("id", None)
    for name in ("expect", "after", "for_each"):
        trigger[name] = sorted(trigger.get(name, []))  # they are sets
    return plain


_COMPARED = {"description", "enabled", "trigger", "actions"}


def _limit_of(on_server: DeploymentResponse) -> dict[str, Any] | None:
    limit = on_server.global_concurrency_limit
    if limit is None:
        return None
    options = on_server.concurrency_options
    strategy = options.collision_strategy.value if options else None
    return {"limit": limit.limit, "collision_strategy": strategy}


def schedule_in_words(schedule: dict[str, Any]) -> str:
    """When a schedule of the file starts runs; people's own may have intervals and rules."""
    when = next((f"{kind} {schedule[kind]}" for kind in _RHYTHMS if kind in schedule), "never")
    return f"{schedule.get('slug') or 'without a slug'}: {when} {schedule.get('timezone') or 'UTC'}"


_RHYTHMS = ("cron", "interval", "rrule")
_Interval: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def _schedule_differences(wanted: list[dict[str, Any]], on_server: DeploymentResponse) -> list[str]:
    have = {schedule.slug: schedule.schedule for schedule in on_server.schedules}
    found = []
    for schedule in wanted:
        slug = schedule.get("slug")
        new = {name: schedule[name] for name in (*_RHYTHMS, "timezone") if name in schedule}
        if "interval" in new:
            new["interval"] = _Interval.validate_python(new["interval"])
        if "cron" in new:
            new.setdefault("timezone", None)
        old = have.get(slug)
        if old is None:
            found.append(f"schedule {schedule_in_words(schedule)}")
            continue
        known = {name: getattr(old, name, None) for name in new}
        found += differences(known, new, at=f"schedule {slug}")
    return found
