"""Is CVAT there, does it let us in, may we write?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from cvat_sdk import Client

from cvat_flows.deployments.doctor import Verdict, failure, ok, warning
from cvat_flows.tasks.cvat.connection import connect
from cvat_flows.tasks.cvat.errors import CvatRefused
from cvat_flows.tasks.cvat.http import get, get_json
from cvat_flows.tasks.cvat.server_block import find_settings

OLDEST = (2, 50)
"""CVAT 2.54 is what the behaviour was measured on (CVAT_FACTS)."""
CLOCK_WARNING = 5.0
"""Seconds between clocks. Leases allow for as much (tasks.upload.lease)."""


def check_cvat() -> Iterator[Verdict]:
    """Address, credentials, version, rights and clock."""
    settings = find_settings()
    started = time.monotonic()
    client = connect(settings)
    yield ok("CVAT", f"{settings.host} answers in {time.monotonic() - started:.1f} s")
    yield _version(client)
    yield from _rights(client)
    yield _clock(client)


def clock_verdict(what: str, date: str | None, now: float) -> Verdict:
    """Compare this machine's clock with the `Date` of an answer."""
    try:
        apart = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return warning(what, "the answer has no date", "compare the clocks by hand")
    if abs(apart) <= CLOCK_WARNING:
        return ok(what, "agrees with this machine's")
    way = "ahead of" if apart > 0 else "behind"
    return warning(
        what,
        f"this machine is {abs(apart):.0f} s {way} it",
        "have all machines keep time by NTP: leases and schedules go by it",
    )


def _version(client: Client) -> Verdict:
    version = str(get_json(client, "/api/server/about", subject="the CVAT server").get("version"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers[0] == OLDEST[0] and numbers >= OLDEST:
        return ok("CVAT version", version)
    return warning(
        "CVAT version", f"{version} is unknown to cvat-flows", "try one task by hand first"
    )


def _rights(client: Client) -> Iterator[Verdict]:
    user = get_json(client, "/api/users/self", subject="the user")
    name = user["username"]
    tasks = get_json(client, "/api/tasks", subject="the list of tasks", page_size=1)["count"]
    if _token_is_read_only(client):
        yield failure(
            "CVAT rights",
            f"the access token of {name} may only read",
            "make a token with read_only off (CVAT, profile, access tokens)",
        )
    elif not tasks:
        yield warning(
            "CVAT rights",
            f"{name} sees no task",
            "make it an admin, or own or be assigned the tasks: jobs alone are not enough",
        )
    else:
        admin = " (an admin)" if user.get("is_superuser") else ""
        yield ok("CVAT rights", f"{name}{admin} sees {tasks:,} tasks")


def _token_is_read_only(client: Client) -> bool:
    """Whether the token that is used may not write; False where CVAT does not tell."""
    try:
        token = get_json(client, "/api/auth/access_tokens/self", subject="the access token")
    except CvatRefused:
        return False
    return bool(token.get("read_only"))


def _clock(client: Client) -> Verdict:
    answer = get(client, "/api/server/about", subject="the CVAT server")
    return clock_verdict("CVAT clock", answer.headers.get("Date"), time.time())
