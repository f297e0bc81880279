"""A notification about a failed run, from `cvat-flows setup --notify` to the message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import isabstract
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from prefect.blocks.abstract import NotificationBlock

from tests.support.stack import Stack
from tests.support.waiting import HANG_TIMEOUT


def notifications() -> list[type[NotificationBlock]]:
    """Return Prefect's notification blocks."""
    found = [NotificationBlock]
    for one in found:
        found += one.__subclasses__()
    return [one for one in found if not isabstract(one)]


@pytest.fixture
def inbox() -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """A server that keeps what is posted to it, and its URL."""
    posted: Queue[dict[str, Any]] = Queue()

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", posted
    server.shutdown()
    server.server_close()


def test_a_failed_run_sends_a_notification(
    stack: Stack, project: Any, inbox: tuple[str, Queue[dict[str, Any]]]
) -> None:
    url, posted = inbox
    with stack.prefect.use_here():
        from prefect.blocks.notifications import CustomWebhookNotificationBlock

        block = CustomWebhookNotificationBlock(
            name="on-call", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )
        block.save("on-call", overwrite=True, _sync=True)  # type: ignore[call-arg]
    shown = stack.cvat_flows("setup", "--yes", "--notify", f"{block.get_block_type_slug()}/on-call")
    assert "create automation 'cvat-flows · tell somebody about failed runs'" in shown
    task = stack.task(project, frames=3, jobs=1)
    run = stack.start_run(
        "annotate-task",
        {"task_id": task.id, "function": str(stack.function), "frames": "0-9"},
    )
    state, message = stack.wait_for_run(run)
    assert state == "Failed"
    notification = posted.get(timeout=HANG_TIMEOUT)
    assert message in notification["body"]
    assert f"CVAT task {task.id}" in notification["body"]
    assert f"\n{stack.prefect.url}/runs/flow-run/{run}" in notification["body"]
    assert "Failed" in notification["subject"]
    assert stack.is_set_up("--notify", f"{block.get_block_type_slug()}/on-call")
    missing = stack.prefect.cvat_flows("setup", "--notify", "email/nobody", **stack.env)
    assert (missing.returncode, missing.stdout) == (2, "")
    named = set(re.findall(r"([\w-]+)/on-call", missing.stderr))
    assert named <= {block.get_block_type_slug() for block in notifications()}
    assert "sendgrid-email" in named
