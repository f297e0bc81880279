"""The nightly schedule on the nights on which clocks change, by Prefect's schedule objects."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from cvat_flows.deployments.setup.deployment_file import FILE

NIGHTS = 3


def nightly(timezone: str, cron: str | None = None) -> CronSchedule:
    """Return the schedule of the shipped file in another time zone."""
    entries = yaml.safe_load(FILE.read_text())["deployments"]
    (sweep,) = [entry for entry in entries if entry["name"] == "annotate-new-tasks"]
    (shipped,) = sweep["schedules"]
    return CronSchedule(cron=cron or shipped["cron"], timezone=timezone)


# On the first day clocks are put forward (02:00 to 03:00 in Berlin), on the second back.
@pytest.mark.parametrize("day", [date(2027, 3, 28), date(2027, 10, 31)], ids=["forward", "back"])
@pytest.mark.parametrize("time", ["0 2 * * *", "30 2 * * *", "0 3 * * *"])
def test_each_night_has_one_run(day: date, time: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = day - timedelta(days=1)
    start = datetime(first.year, first.month, first.day, 12, tzinfo=zone) - timedelta(days=1)
    end = start + timedelta(days=NIGHTS)
    runs = asyncio.run(nightly("Europe/Berlin", time).get_dates(n=100, start=start, end=end))
    nights = [run.astimezone(zone).date() for run in runs]
    assert nights == [first + timedelta(days=number) for number in range(NIGHTS)]
    minutes = [run.astimezone(zone).hour * 60 + run.astimezone(zone).minute for run in runs]
    # A time that the night does not have is up to an hour later.
    assert max(minutes) - min(minutes) <= 60
