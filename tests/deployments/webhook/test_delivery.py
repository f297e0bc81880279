from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.deployments.webhook.delivery import (
    BadDelivery,
    Delivery,
    is_signed,
    read_delivery,
    sign,
)
from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED

SECRET = b"a secret of some length"


def read(content: Any) -> Delivery:
    return read_delivery(json.dumps(content).encode())


def update(before: Any, **task: Any) -> Delivery:
    return read({"event": "update:task", "task": {"id": 5, **task}, "before_update": before})


def test_an_update_names_the_changed_fields() -> None:
    date = {"updated_date": "2026-11-22T10:00:00Z"}
    only_saved = Delivery(event=TASK_UPDATED, task_id=5, size=4)
    assert update(date, size=4) == only_saved
    renamed = update({**date, "name": "old", "labels": None}, size=4)
    assert (renamed.task_id, renamed.changed) == (5, ("labels", "name"))
    assert str(renamed) == "update:task of task 5 (labels, name)"


@pytest.mark.parametrize("task", [{}, {"size": 0}, {"size": None}, {"size": "4"}, {"size": True}])
def test_an_update_without_a_size_shows_no_data(task: dict[str, Any]) -> None:
    assert update({"mode": ""}, **task).task_id is None


@pytest.mark.parametrize(("status", "task_id"), [("finished", 5), ("failed", None), (None, None)])
def test_only_a_finished_import_shows_data(status: str | None, task_id: int | None) -> None:
    request = {"status": status, "operation": {"type": "create:task", "task_id": 5}}
    delivery = read({"event": "completed:request[create:task]", "request": request})
    assert (delivery.event, delivery.task_id) == (IMPORT_COMPLETED, task_id)


@pytest.mark.parametrize(
    "content",
    [
        {"event": "ping", "webhook": {"id": 1}},
        {"event": "create:task", "task": {"id": 5}},
        {"event": "create:job", "job": {"id": 9, "task_id": 5}},
        {"event": "update:job", "job": {"id": 9, "task_id": 5}},
        {"event": "delete:task", "task": {"id": 5, "size": 4}},
        {"event": "completed:request[export:dataset]", "request": {"operation": {"task_id": 5}}},
    ],
)
def test_other_events_show_no_data(content: Any) -> None:
    assert read(content) == Delivery(event=content["event"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"event": 3}',
        b"\xff",
        b'{"event": "update:task"}',
        b'{"event": "update:task", "task": {"id": "5", "size": 3}}',
        b'{"event": "update:task", "task": {"id": -5, "size": 3}}',
        b'{"event": "completed:request[create:task]", "request": {"status": "finished"}}',
        b'{"event": "completed:request[create:task]", "request": {"operation": {"task_id": null}}}',
        b"[" * 15_000,
    ],
)
def test_anything_else_is_no_delivery(body: bytes) -> None:
    with pytest.raises(BadDelivery):
        read_delivery(body)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with suppress(BadDelivery):
        assert read_delivery(body).event


@pytest.mark.parametrize("given", [None, "", "sha256=", "sha256=" + "0" * 64, "ä"])
def test_a_wrong_signature(given: str | None) -> None:
    assert not is_signed(b"{}", given, SECRET)
    assert not is_signed(b"{}", sign(b"{}", b"another secret"), SECRET)
    assert is_signed(b"{}", sign(b"{}", SECRET), SECRET)
