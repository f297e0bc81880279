"""The rules and the time of the nightly sweep, as `cvat-flows setup` sets them."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule

from cvat_flows.deployments.setup.changes import SetupError
from cvat_flows.deployments.setup.deployment_file import WantedDeployment, read_deployments
from cvat_flows.deployments.setup.nightly import SWEEP, Choices, note_missing_rules
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import RulesError
from tests.support.stack import Stack

RULES = "rules:\n- {projects: [street], function: shapes, options: {conf_threshold: 0.4}}\n"


def choose(**values: object) -> Choices:
    given = {"rules": None, "at": None, "timezone": None, "download_weights": False, **values}
    return Choices.of(argparse.Namespace(**given))


@pytest.fixture(scope="module")
def shipped() -> dict[str, WantedDeployment]:
    return {wanted.name: wanted for wanted in read_deployments()}


def test_rules_and_time_become_part_of_the_deployment(
    shipped: dict[str, WantedDeployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CVAT_FLOWS_RULES", raising=False)
    assert note_missing_rules(list(shipped.values()))
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    choices = choose(rules=file, at="3:30", timezone="Europe/Berlin", download_weights=True)
    sweep = choices.apply(shipped[SWEEP], None)
    assert note_missing_rules([sweep]) == []
    (rule,) = AnnotateNewTasksParameters(**sweep.entry["parameters"]).all_rules()
    assert (rule.projects, rule.function) == (["street"], "shapes")
    (nightly,) = sweep.entry["schedules"]
    assert (nightly["cron"], nightly["timezone"]) == ("30 3 * * *", "Europe/Berlin")
    by_hand = choices.apply(shipped["annotate-task"], None)
    assert by_hand.entry["work_pool"]["job_variables"]["env"] == {"CVAT_FLOWS_DOWNLOAD": "1"}
    assert "rules" not in by_hand.entry.get("parameters", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"at": "25:00"}, "--at 25:00: must be a time such as 02:00"),
        ({"at": "2"}, "--at 2: must be"),
        ({"timezone": "Europe/Berln"}, r"no such time zone \(did you mean 'Europe/Berlin'\?\)"),
    ],
)
def test_wrong_choices(values: dict[str, str], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        choose(**values)
    with pytest.raises(RulesError, match="cannot be read"):
        choose(rules=Path("no-such-file.yaml"))


def test_a_gate_with_an_unknown_label(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("- {name: street, function: shapes, min_precision: {cirlce: 0.9}}")
    with pytest.raises(RulesError, match=r"rule street: min_precision names 'cirlce', .*'circle'"):
        choose(rules=file)


@pytest.mark.parametrize("at", ["2:00", "2:30", "3:00"])
def test_a_daylight_saving_night_neither_skips_nor_doubles(
    shipped: dict[str, WantedDeployment], at: str
) -> None:
    sweep = choose(at=at, timezone="Europe/Berlin").apply(shipped[SWEEP], None)
    (nightly,) = sweep.entry["schedules"]
    schedule = CronSchedule(cron=nightly["cron"], timezone=nightly["timezone"])
    # Clocks change on 28 March and 31 October 2027. The scheduler asks again every few minutes.
    for first_day in (datetime(2027, 3, 26, tzinfo=UTC), datetime(2027, 10, 29, tzinfo=UTC)):
        now, end, starts = first_day, first_day + timedelta(days=5), set()
        while now < end:
            starts.update(asyncio.run(schedule.get_dates(1, start=now)))
            now += timedelta(minutes=25)
        local = [start.astimezone(ZoneInfo("Europe/Berlin")).date() for start in starts]
        assert len(local) == len(set(local))
        days = {(first_day + timedelta(days=n)).date() for n in range(1, 5)}
        assert days <= set(local)


def test_setup_writes_them_and_doctor_reads_them(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    before = stack.ask("deployments/name/annotate-new-tasks/annotate-new-tasks", method="GET")
    options = ("--rules", str(file), "--at", "03:30", "--timezone", "Europe/Berlin")
    try:
        shown = " ".join(stack.cvat_flows("setup", "--yes", *options).split())
        assert "cron: 0 2 * * * -> 30 3 * * *" in shown.replace("'", "")
        assert "nothing to change" in stack.cvat_flows("setup", "--yes", *options)
        shown = " ".join(stack.cvat_flows("doctor", "--only", "rules", "function").split())
        assert "rules: 1 rule: street with shapes" in shown
        assert "function: shapes, fingerprint" in shown
    finally:
        address = f"deployments/{before['id']}"
        stack.ask(address, {"parameters": before["parameters"]}, method="PATCH")
        stack.cvat_flows("setup", "--yes", "--at", "02:00", "--timezone", "UTC")
