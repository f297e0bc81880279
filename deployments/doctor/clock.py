"""Compare this machine's clock with a server's."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.tasks.record.lease_file import CLOCK_ALLOWANCE


def check_clock(what: str, date: str | None, now: float) -> Verdict:
    """Compare `now` (Unix time in seconds) with the `Date` header of a server's answer."""
    try:
        difference = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return warning(what, "the server's answer has no date", "compare the clocks by hand")
    if abs(difference) <= CLOCK_ALLOWANCE:
        return ok(what, "agrees with this machine's clock")
    direction = "ahead of" if difference > 0 else "behind"
    return warning(
        what,
        f"this machine's clock is {abs(difference):.0f} s {direction} it",
        "synchronize all machines by NTP: leases and schedules depend on their clocks",
    )
