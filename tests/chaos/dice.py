"""Decide by dice which requests of a schedule have faults, and how long the uploader waits."""

from __future__ import annotations

import json
import random
from collections import Counter

from attrs import define, evolve

from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from tests.chaos.worker import REFUSED
from tests.support.faults import PASS, Action, Exchange, Fault

RETRY_POLICY = RetryPolicy(
    connect_timeout=2.0,
    read_timeout=0.3,
    first_wait=0.004,
    max_wait=0.05,
    give_up_after=30.0,
    wait_after_timeout=0.2,
    request_lifetime=0.5,
)
STATUSES = (200, 429, 500, 502, 503, 504)
"""A status of 200 comes with a page of HTML, like all of them."""
TOO_LARGE = 413
CLOCK_STEPS = (0.0, 0.0, 0.0, 0.0, -3600.0, 3600.0)
"""Seconds by which the clock of the uploader's machine may be wrong."""
READ_ACTIONS: tuple[Action, ...] = (
    "refuse", "reset_before", "reset_after", "status_before", "truncate", "garble", "stall",
    "kill_before",
)  # fmt: skip
WRITE_ACTIONS: tuple[Action, ...] = (
    "refuse", "reset_before", "reset_after", "status_before", "status_before", "status_after",
    "truncate", "garble",
    "stall", "stall_after", "late", "late", "late", "repeat", "kill_before", "kill_after",
    "kill_late",
)  # fmt: skip


@define(kw_only=True)
class FaultDice:
    """Decides by dice which fault each request of a schedule has."""

    dice: random.Random
    drawn: Counter[str]
    """How often each fault was drawn."""
    enabled: bool = False
    faults_left: int = 0
    kills_left: int = 0
    server_errors: int = 0

    def decide(self, exchange: Exchange) -> Fault:
        annotations = exchange.path.split("?")[0].endswith("/annotations")
        share = 0.3 if annotations else 0.01
        if not self.enabled or self.faults_left <= 0 or self.dice.random() >= share:
            self.server_errors = 0
            return PASS
        self.faults_left -= 1
        action = self.dice.choice(WRITE_ACTIONS if exchange.method == "PATCH" else READ_ACTIONS)
        if action.startswith("kill"):
            if self.kills_left <= 0:
                return PASS
            self.kills_left -= 1
        fault = Fault(
            action=action,
            status=self.dice.choice(STATUSES),
            retry_after=self.dice.choice([None, None, "0", "1"]),
            seconds=self._seconds(action),
            # Whether the request is carried out just before its retry.
            overtaken=self.dice.random() < 0.6,
            seed=self.dice.randrange(2**31),
        )
        if action == "status_before" and self.dice.random() < 0.3:
            choice = [REFUSED, TOO_LARGE] if _can_be_halved(exchange) else [REFUSED]
            fault = evolve(fault, status=self.dice.choice(choice))
        if fault.retry_after == "1" and self.dice.random() < 0.8:
            fault = evolve(fault, retry_after=None)  # a real wait is slow
        if action.startswith("status") and fault.status == 500:
            # To the client, several in a row mean that CVAT will never accept the request.
            self.server_errors += 1
            if self.server_errors > 2:
                fault = evolve(fault, status=503)
        else:
            self.server_errors = 0
        name = f"{action} {fault.status}" if action.startswith("status") else action
        self.drawn[name] += 1
        return fault

    def address(self, url: str) -> str:
        """Return one of the addresses of the proxy."""
        return self.dice.choice([url, url.replace("127.0.0.1", "localhost")])

    def clock(self) -> float:
        """Return how wrong the clock is. Without faults it is right."""
        return self.dice.choice(CLOCK_STEPS) if self.enabled else 0.0

    def _seconds(self, action: Action) -> float:
        if action == "refuse":
            return self.dice.uniform(0.0, 0.05)
        if action == "late":
            # Mostly before the client reads the job again, sometimes after.
            wait = RETRY_POLICY.wait_after_timeout
            low, high = (0.05, wait * 0.6) if self.dice.random() < 0.6 else (wait, 0.4)
            return self.dice.uniform(low, high)
        return RETRY_POLICY.read_timeout + 0.1


def _can_be_halved(exchange: Exchange) -> bool:
    """Return whether a request is about several frames: a part of it can be smaller."""
    if not exchange.path.endswith("?action=create"):
        return False
    items = json.loads(exchange.body)
    return len({item["frame"] for kind in ("tags", "shapes") for item in items[kind]}) > 1
