"""Waits between attempts grow, and are never shorter than our own."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.cvat.client.retry import (
    BadRequestLifetime,
    RetryPolicy,
    retry_after,
    write_policy,
)


def test_retry_after_is_a_number_or_a_date() -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    assert 3000 < (retry_after({"Retry-After": later}) or 0) <= 3600
    assert retry_after({"Retry-After": "2.5"}) == 2.5
    assert retry_after(None) is retry_after({}) is None


@pytest.mark.parametrize(
    "value", ["soon", "", "0", "-5", "nan", "inf", "-inf", "1e999", formatdate(0), "Mon, 99"]
)
def test_a_value_that_asks_for_no_wait_leaves_ours(value: str) -> None:
    requested = retry_after({"Retry-After": value})
    assert requested is None
    assert RetryPolicy().wait(3, requested) >= 1.5


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e6))
def test_the_wait_is_the_longer_one_of_ours_and_theirs(
    attempt: int, requested: float | None
) -> None:
    policy = RetryPolicy(first_wait=0.5, max_wait=60)
    wait = policy.wait(attempt, requested)
    assert wait >= max(requested or 0, min(60, 0.5 * 2 ** min(attempt - 1, 10)) * 0.75)
    assert wait <= max(requested or 0, 75)


def test_the_life_of_a_request_is_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_policy().request_lifetime == 60.0
    monkeypatch.setenv("CVAT_FLOWS_REQUEST_LIFETIME", " 300 ")
    assert write_policy().request_lifetime == 300.0


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_wrong_life_of_a_request_is_explained(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_REQUEST_LIFETIME", value)
    with pytest.raises(BadRequestLifetime, match=f"CVAT_FLOWS_REQUEST_LIFETIME is '{value}': set"):
        write_policy()
