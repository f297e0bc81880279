from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from cvat_flows.deployments.setup.changes import list_differences, merge
from cvat_flows.deployments.setup.deployment_diff import diff_schedules
from cvat_flows.deployments.setup.deployment_file import FILE


def test_differences_and_merging() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}, "e": None}
    assert list_differences(old, {"a": 1, "b": {"c": 2}, "e": []}) == []
    assert list_differences(old, {"b": {"c": 5}}) == ["b.c: 2 -> 5"]
    assert merge(old, {"b": {"c": 5}}) == {"a": 1, "b": {"c": 5, "d": 3}, "e": None}


@pytest.mark.parametrize(
    ("schedule", "there", "changed"),
    [
        ({"interval": 3600}, IntervalSchedule(interval=timedelta(hours=1)), None),
        ({"interval": "PT2H"}, IntervalSchedule(interval=timedelta(hours=2)), None),
        ({"interval": 60}, IntervalSchedule(interval=timedelta(hours=1)), "interval"),
        ({"interval": 60}, CronSchedule(cron="0 2 * * *"), "interval"),
        ({"rrule": "FREQ=HOURLY"}, RRuleSchedule(rrule="FREQ=HOURLY"), None),
        ({"cron": "0 3 * * *"}, CronSchedule(cron="0 2 * * *"), "cron"),
    ],
)
@pytest.mark.parametrize("slug", ["mine", None])
def test_diff_of_schedules(
    schedule: dict[str, Any], there: Any, changed: str | None, slug: str | None
) -> None:
    named = schedule if slug is None else {**schedule, "slug": slug}
    server: Any = SimpleNamespace(schedules=[SimpleNamespace(slug=slug, schedule=there)])
    found = diff_schedules([named], server)
    assert [one.partition(":")[0] for one in found] == (
        [f"schedule {slug}.{changed}"] if changed else []
    )
    server.schedules = []
    (missing,) = diff_schedules([named], server)
    assert str(next(iter(schedule.values()))) in missing


def test_every_shipped_deployment_has_a_description() -> None:
    content = yaml.safe_load(FILE.read_text())
    assert [one["name"] for one in content["deployments"]] == [
        "annotate-task",
        "detect-jobs",
        "evaluate-task",
        "annotate-new-tasks",
        "review-finished-tasks",
        "maintain",
    ]
    assert all(one["description"] for one in content["deployments"])
