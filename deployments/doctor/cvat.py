"""Check the connection to CVAT, the account's permissions and the server's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cvat_sdk import Client

from cvat_flows.deployments.doctor.clock import check_clock
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get, get_json
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.model.text import counted

OLDEST = (2, 50)


def check_cvat() -> Iterator[Verdict]:
    """Check address, credentials, version, permissions and clock."""
    settings = find_settings()
    started = time.monotonic()
    client = connect(settings)
    yield ok("CVAT", f"{settings.host} answered in {time.monotonic() - started:.1f} s")
    yield _check_version(client)
    yield from _check_permissions(client)
    answer = get(client, "/api/server/about", subject="the CVAT server")
    yield check_clock("CVAT clock", answer.headers.get("Date"), time.time())


def _check_version(client: Client) -> Verdict:
    about = get_json(client, "/api/server/about", subject="the CVAT server", fields=["version"])
    version = str(about["version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers[0] == OLDEST[0] and numbers >= OLDEST:
        return ok("CVAT version", version)
    return warning(
        "CVAT version",
        f"cvat-flows was not tested with {version}",
        "annotate one task by hand before you rely on it",
    )


def _check_permissions(client: Client) -> Iterator[Verdict]:
    user = get_json(client, "/api/users/self", subject="the user", fields=["username"])
    name = user["username"]
    tasks = get_json(
        client, "/api/tasks", subject="the list of tasks", fields=["count"], page_size=1
    )["count"]
    if _token_is_read_only(client):
        yield failure(
            "CVAT permissions",
            f"the access token of {name} is read-only",
            "create a token that is not read-only (in CVAT: profile, access tokens)",
        )
    elif not tasks:
        yield warning(
            "CVAT permissions",
            f"{name} sees no task",
            "make the account an admin, or the owner or assignee of the tasks: being assigned "
            "their jobs is not enough",
        )
    else:
        admin = " (an admin)" if user.get("is_superuser") else ""
        yield ok("CVAT permissions", f"{name}{admin} sees {counted(tasks, 'task')}")


def _token_is_read_only(client: Client) -> bool:
    """Whether the access token in use is read-only. False if CVAT does not say."""
    try:
        token = get_json(
            client, "/api/auth/access_tokens/self", subject="the access token", fields=["read_only"]
        )
    except CvatRefused:
        return False
    return bool(token["read_only"])
