"""Read, create and delete the annotations of one CVAT job.

A write is done, refused or doubtful. It is doubtful after a timeout, a reset, a 429, a 5xx or a
body that CVAT did not write: CVAT may have done the work, may do it later
(`Reply.may_come_late`), or may never do it. Nothing here repeats a doubtful write; the caller
reads the job back first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import urllib3
from attrs import define, field, frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.annotation_json import KINDS, Kind, is_complete, iter_annotations
from cvat_flows.tasks.cvat.client.errors import TRANSIENT_STATUSES, CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.explain import TOO_LARGE, describe_body, explain_refusal
from cvat_flows.tasks.cvat.client.response import open_response
from cvat_flows.tasks.cvat.client.retry import (
    MAX_CONSECUTIVE_500S,
    RetryPolicy,
    retry_after,
    write_policy,
)


@frozen(kw_only=True)
class Reply:
    """CVAT's answer to a request, and what it means."""

    result: Literal["done", "refused", "doubtful"]
    content: Mapping[str, list[dict[str, Any]]] = field(factory=dict)
    """The answer's `tags` and `shapes`, if a write is done."""
    status: int = 0
    """HTTP status; 0 without an answer."""
    text: str = ""
    """Why the request is not done, in some 300 characters for people."""
    body: bytes = b""
    """The complete body, if the request was refused."""
    timed_out: bool = False
    retry_after: float | None = None
    may_come_late: bool = False
    """Whether a doubtful write may still be carried out (`RetryPolicy.request_lifetime`)."""


@define(kw_only=True)
class JobAnnotations:
    """Access to the annotations of one CVAT job over HTTP."""

    client: Client
    job_id: int
    retry_policy: RetryPolicy = field(factory=write_policy)
    sleep: Callable[[float], None] = time.sleep
    _last_good_answer: float = field(factory=time.monotonic, init=False)

    def read(self) -> Iterator[tuple[Kind, dict[str, Any]]]:
        """Yield the job's tags and shapes, decoding one at a time. Raises as `read_bytes` does."""
        return iter_annotations(self.read_bytes())

    def read_bytes(self, is_good: Callable[[bytes], bool] = is_complete) -> bytes:
        """Fetch the job's annotations as CVAT's JSON, to be read with `iter_annotations`.

        Retries until the answer is good. Raises CvatRefused if CVAT refuses the request and
        CvatUnavailable if the retry policy gives up.
        """
        server_errors = failures = 0
        while True:
            reply, body = self._request("GET")
            if reply.result == "done" and is_good(body):
                self._last_good_answer = time.monotonic()
                return body
            if reply.result == "done":
                reply = _NOT_FROM_CVAT
            if reply.result == "refused":
                raise self._refusal_error(reply)
            server_errors = server_errors + 1 if reply.status == 500 else 0
            if server_errors >= MAX_CONSECUTIVE_500S:
                raise CvatUnavailable(
                    f"job {self.job_id}: CVAT fails to read the job's annotations (500, "
                    f"{server_errors} times). If the job does not open in CVAT either, one of its "
                    "annotations is damaged and only CVAT's administrator can help"
                )
            failures += 1
            self.pause(reply, failures)

    def create(self, body: bytes) -> Reply:
        """Send a `create` once. Raises CvatRefused if CVAT would refuse any create on this job."""
        return self._write("create", body)

    def delete(self, body: bytes) -> Reply:
        """Send a `delete` once. Repeating it is harmless. Raises as `create` does."""
        return self._write("delete", body)

    def pause(self, reply: Reply, failures: int) -> None:
        """Wait after a doubtful answer. `failures` is the number of doubtful answers in a row.

        Raises CvatUnavailable if the retry policy gives up.
        """
        policy = self.retry_policy
        silence = time.monotonic() - self._last_good_answer
        wait = policy.wait(failures, reply.retry_after)
        if reply.timed_out:
            wait = max(wait, policy.wait_after_timeout)
        if silence + wait > policy.give_up_after:
            raise CvatUnavailable(
                f"job {self.job_id}: CVAT has given no valid answer for {silence:.0f} s (last: "
                f"{reply.text}); uploads so far are recorded, run this again when CVAT is back"
            )
        self.sleep(wait)

    def _write(self, action: str, body: bytes) -> Reply:
        reply, answer = self._request("PATCH", action, body)
        if reply.status in (401, 403, 404):
            raise self._refusal_error(reply)
        if reply.result != "done":
            return reply
        try:
            content = json.loads(answer)
            lists: dict[str, list[dict[str, Any]]] = {kind: content[kind] for kind in KINDS}
            valid = all(isinstance(o["id"], int) for kind in KINDS for o in lists[kind])
        except (ValueError, KeyError, TypeError):
            valid = False
        if not valid:
            return _NOT_FROM_CVAT
        self._last_good_answer = time.monotonic()
        return Reply(result="done", content=lists, status=reply.status)

    def _request(
        self, method: str, action: str | None = None, body: bytes | None = None
    ) -> tuple[Reply, bytes]:
        """Send one request and judge the answer. The bytes are the body of an answer of 200."""
        policy = self.retry_policy
        path = f"/api/jobs/{self.job_id}/annotations"
        try:
            with open_response(
                self.client, method, path, query={"action": action}, body=body, policy=policy
            ) as response:
                status, headers, answer = response.status, response.headers, response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            was_sent = not isinstance(error, _NOT_SENT)
            timed_out = was_sent and isinstance(error, urllib3.exceptions.TimeoutError)
            text = f"no answer within {policy.read_timeout:g} s" if timed_out else "no answer"
            text += f" ({type(error).__name__})"
            reply = Reply(result="doubtful", text=text, timed_out=timed_out, may_come_late=was_sent)
            return reply, b""
        if status == 200:
            return Reply(result="done", status=200), answer
        text = f"{status} {describe_body(answer)}"
        if status in TRANSIENT_STATUSES or status >= 500 or status < 300:
            reply = Reply(
                result="doubtful",
                status=status,
                text=text,
                retry_after=retry_after(headers),
                timed_out=status == 504,
                may_come_late=status not in _NOT_CARRIED_OUT,
            )
            return reply, b""
        if status == 413:
            text = TOO_LARGE
        return Reply(result="refused", status=status, text=text, body=answer), b""

    def _refusal_error(self, reply: Reply) -> CvatRefused:
        why = "it does not exist on the CVAT server; check whether it was deleted"
        if reply.status != 404:
            why = explain_refusal(reply.status, reply.body)
        return CvatRefused(f"job {self.job_id}: {why}", status=reply.status)


_NOT_FROM_CVAT = Reply(
    result="doubtful", text="an answer that CVAT did not write", may_come_late=True
)
_NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
"""Errors before a request is sent."""
_NOT_CARRIED_OUT = frozenset({425, 429, 500})
"""Statuses of a request that was turned away, or rolled back. It may have been carried out before,
but not later. Behind 502, 503 and 504 a worker may still be at it."""
