"""What people choose about the nightly sweep: its rules, its time, and downloads of weights."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from attrs import evolve, frozen
from prefect.client.schemas.responses import DeploymentResponse

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.setup.deployment_file import WantedDeployment
from cvat_flows.flows.sweep.gates import check_gate_labels
from cvat_flows.flows.sweep.parameters import RULES_VARIABLE
from cvat_flows.flows.sweep.rule_errors import nearest
from cvat_flows.flows.sweep.rules_file import read_rules

SWEEP = "annotate-new-tasks"
"""Name of the deployment."""
SLUG = "nightly"
"""Slug of its schedule."""
DOWNLOAD = {"CVAT_FLOWS_DOWNLOAD": "1"}
NO_RULES = (
    "there are none on this machine, so the sweep fails unless its workers have "
    f"{RULES_VARIABLE}: `cvat-flows setup --rules FILE`"
)
_KINDS = ("cron", "interval", "rrule")


@frozen(kw_only=True)
class Choices:
    """The options of `cvat-flows setup` about deployments. None: as it is."""

    rules: list[dict[str, Any]] | None = None
    at: str | None = None
    """Hours and minutes, `02:00`."""
    timezone: str | None = None
    download_weights: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Choices:
        """Read the options. Raises SetupError, RulesError."""
        file: Path | None = arguments.rules
        at, timezone = arguments.at, arguments.timezone
        if at is not None and not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", at):
            raise SetupError(f"--at {at}: must be a time such as 02:00")
        if timezone is not None and timezone not in available_timezones():
            raise SetupError(
                f"--timezone {timezone}: there is no such time zone"
                f"{nearest(timezone, sorted(available_timezones()))}"
            )
        rules = None if file is None else read_rules(file)
        check_gate_labels(rules or (), {})
        return cls(
            rules=None
            if rules is None
            else [rule.model_dump(mode="json", exclude_defaults=True) for rule in rules],
            at=at,
            timezone=timezone,
            download_weights=arguments.download_weights,
        )

    def apply(
        self, wanted: WantedDeployment, on_server: DeploymentResponse | None
    ) -> WantedDeployment:
        """Return the deployment as chosen."""
        entry = dict(wanted.entry)
        if self.download_weights:
            variables = entry["work_pool"].get("job_variables") or {}
            env = {**(variables.get("env") or {}), **DOWNLOAD}
            entry["work_pool"] = {
                **entry["work_pool"],
                "job_variables": {**variables, "env": env},
            }
        if wanted.name == SWEEP and self.rules is not None:
            entry["parameters"] = {
                **entry.get("parameters", {}),
                "rules": self.rules,
                "rules_file": None,
            }
        if wanted.name == SWEEP and (self.at or self.timezone):
            entry["schedules"] = self._schedules(wanted, on_server)
        return evolve(wanted, entry=entry)

    def _schedules(
        self, wanted: WantedDeployment, on_server: DeploymentResponse | None
    ) -> list[dict[str, Any]]:
        """Return the schedules of the server, or of the file, with the nightly one as chosen."""
        known = [*wanted.entry.get("schedules", [])]
        if on_server is not None:
            known = [
                {
                    **{kind: getattr(one.schedule, kind) for kind in _KINDS if _has(one, kind)},
                    "timezone": getattr(one.schedule, "timezone", None),
                    "slug": one.slug,
                    "active": one.active,
                }
                for one in on_server.schedules
            ]
        nightly: dict[str, Any] = {"cron": "0 2 * * *", "timezone": "UTC", "active": True}
        nightly |= next((one for one in known if one.get("slug") == SLUG), {})
        if self.at:
            hours, minutes = self.at.split(":")
            nightly["cron"] = f"{int(minutes)} {int(hours)} * * *"
        if self.timezone:
            nightly["timezone"] = str(ZoneInfo(self.timezone))
        return [*(one for one in known if one.get("slug") != SLUG), {**nightly, "slug": SLUG}]


def _has(schedule: Any, kind: str) -> bool:
    return getattr(schedule.schedule, kind, None) is not None


def has_rules(parameters: dict[str, Any]) -> bool:
    """Return whether a sweep with these parameters, started on this machine, has rules."""
    return bool(
        parameters.get("rules") or parameters.get("rules_file") or os.environ.get(RULES_VARIABLE)
    )


def note_missing_rules(deployments: list[WantedDeployment]) -> list[Change]:
    """Say that the nightly sweep has no rules, if that is so."""
    return [
        Change(verb="note", what=f"rules of {wanted.full_name!r}", detail=NO_RULES)
        for wanted in deployments
        if wanted.name == SWEEP and not has_rules(wanted.entry.get("parameters", {}))
    ]
