"""Read, create and delete annotations of one CVAT job, and know whether it happened.

A write has three ends: done, refused, or doubtful. A time-out, a reset, a 429, a 5xx and a body
that is not CVAT's are all doubtful: the work may have been done, may be done later, or not at all.
Nothing here repeats a doubtful write; whoever sent it reads back first.

The SDK's client lends its connections and credentials. Its own call path is not used: it would
turn each object into a model, and urllib3 would sleep for as long as a `Retry-After` says.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import urllib3
from attrs import define, field, frozen
from cvat_sdk import Client
from cvat_sdk.core.helpers import make_request_headers

from cvat_flows.tasks.cvat.annotation_json import KINDS, Kind, is_whole, walk
from cvat_flows.tasks.cvat.errors import TRANSIENT_STATUSES, CvatRefused, CvatUnavailable

MAX_CONSECUTIVE_500S = 5
"""So many 500s in a row are an answer: CVAT cannot read a task with a skeleton whose keypoints lie
on another frame, and never will (CVAT_FACTS 5)."""


@frozen(kw_only=True)
class Patience:
    """How long to wait for CVAT. Seconds throughout."""

    connect: float = 10.0
    read: float = 180.0
    """Silence while waiting for an answer. A large create takes CVAT seconds, with overlapping jobs
    tens of seconds."""
    backoff: float = 0.5
    """First wait before trying again; it doubles, with jitter."""
    longest_wait: float = 60.0
    give_up_after: float = 600.0
    """Without a single good answer."""
    settle: float = 5.0
    """Wait after a time-out before reading back: the request may still be at work."""


@frozen(kw_only=True)
class Reply:
    """What a write came to."""

    end: Literal["done", "refused", "doubtful"]
    content: Mapping[str, list[dict[str, Any]]] = field(factory=dict)
    """If done: the answer's `tags` and `shapes`."""
    status: int = 0
    text: str = ""
    """Otherwise: why, for people, in some 300 characters."""
    answer: bytes = b""
    """If refused: the whole body of the answer."""
    timed_out: bool = False
    retry_after: float | None = None


@define(kw_only=True)
class JobAnnotations:
    """The annotations of one CVAT job over HTTP."""

    client: Client
    job_id: int
    patience: Patience = field(factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    _last_good: float = field(factory=time.monotonic, init=False)

    def read(self) -> Iterator[tuple[Kind, dict[str, Any]]]:
        """Yield the job's tags and shapes, one in memory at a time beside the answer's bytes.

        Raises as `read_whole` does.
        """
        return walk(self.read_whole())

    def read_whole(self) -> bytes:
        """The job's annotations as CVAT's JSON, for `tasks.cvat.annotation_json.walk`.

        Tries again until there is a whole answer. Raises CvatRefused for a final refusal and
        CvatUnavailable when patience ends.
        """
        server_errors = misses = 0
        while True:
            reply, body = self._exchange("GET", {})
            if reply.end == "done" and is_whole(body):
                self._last_good = time.monotonic()
                return body
            if reply.end == "done":
                reply = Reply(end="doubtful", text="an answer that is not CVAT's")
            if reply.end == "refused":
                raise self._refused(reply)
            server_errors = server_errors + 1 if reply.status == 500 else 0
            if server_errors >= MAX_CONSECUTIVE_500S:
                raise CvatUnavailable(
                    f"job {self.job_id}: CVAT fails to read the job's annotations (500, "
                    f"{server_errors} times). If they cannot be opened in CVAT either, an "
                    "annotation in them is damaged and only CVAT's administrator can help"
                )
            misses += 1
            self.pause(reply, misses)

    def create(self, body: bytes) -> Reply:
        """Send a `create` once. Raises CvatRefused if no create can ever work on this job."""
        return self._write("create", body)

    def delete(self, body: bytes) -> Reply:
        """Send a `delete` once. CVAT lets it be repeated."""
        return self._write("delete", body)

    def pause(self, reply: Reply, misses: int) -> None:
        """Wait before going on after the `misses`-th doubtful answer in a row.

        Raises CvatUnavailable at the end of patience.
        """
        silence = time.monotonic() - self._last_good
        wait = reply.retry_after
        if wait is None:
            longest = self.patience.longest_wait
            growing = self.patience.backoff * 2.0 ** min(misses - 1, 20)
            wait = min(longest, growing) * random.uniform(0.75, 1.25)
        if reply.timed_out:
            wait = max(wait, self.patience.settle)
        if silence + wait > self.patience.give_up_after:
            raise CvatUnavailable(
                f"job {self.job_id}: CVAT has not answered properly for {silence:.0f} s (last: "
                f"{reply.text}); what is uploaded is recorded, run this again when CVAT is back"
            )
        self.sleep(wait)

    def _write(self, action: str, body: bytes) -> Reply:
        reply, answer = self._exchange("PATCH", {"action": action}, body)
        if reply.status in (401, 403, 404):
            raise self._refused(reply)
        if reply.end != "done":
            return reply
        try:
            content = json.loads(answer)
            lists: dict[str, list[dict[str, Any]]] = {kind: content[kind] for kind in KINDS}
            whole = all(isinstance(o["id"], int) for kind in KINDS for o in lists[kind])
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            return Reply(end="doubtful", text="an answer that is not CVAT's")
        self._last_good = time.monotonic()
        return Reply(end="done", content=lists, status=reply.status)

    def _exchange(
        self, method: str, query: dict[str, str], body: bytes | None = None
    ) -> tuple[Reply, bytes]:
        """One request, one answer, and what to think of it."""
        headers = make_request_headers(self.client.api_client)
        headers["Accept-Encoding"] = "identity"
        url = f"{self.client.api_map.host}/api/jobs/{self.job_id}/annotations"
        if body is not None:
            headers["Content-Type"] = "application/json"
            url += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        try:
            response = self.client.api_client.rest_client.pool_manager.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=self.patience.connect, read=self.patience.read),
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError)
            text = f"no answer within {self.patience.read:g} s" if timed_out else "no answer"
            return Reply(
                end="doubtful", text=f"{text} ({type(error).__name__})", timed_out=timed_out
            ), b""
        answer = bytes(response.data)
        text = f"{response.status} {answer[:300].decode('utf-8', 'replace').strip()}".strip()
        if response.status == 200:
            return Reply(end="done", status=200), answer
        if response.status in TRANSIENT_STATUSES or response.status >= 500 or response.status < 300:
            after = _retry_after(response.headers)
            return Reply(
                end="doubtful",
                status=response.status,
                text=text,
                retry_after=after,
                timed_out=response.status == 504,
            ), b""
        return Reply(end="refused", status=response.status, text=text, answer=answer), b""

    def _refused(self, reply: Reply) -> CvatRefused:
        why = {
            401: "CVAT no longer accepts the credentials; log in again",
            403: "the CVAT user of this run may not annotate it; assign the task to that user, or "
            "use an account that may",
            404: "it does not exist on the CVAT server; check whether it was deleted",
        }.get(reply.status, f"CVAT answered {reply.text}")
        return CvatRefused(f"job {self.job_id}: {why}", status=reply.status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the answer asks to wait: a number, or a date as gateways send."""
    asked = headers.get("Retry-After", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds)
