"""Read and change the annotations of a task or of one of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from cvat_flows.deployments.sandbox.annotations.checks import check_body
from cvat_flows.deployments.sandbox.annotations.forms import (
    KINDS,
    Attributes,
    echoed_and_stored,
    filled_in,
)
from cvat_flows.deployments.sandbox.annotations.overlap import without_copies
from cvat_flows.deployments.sandbox.annotations.sharing import share_among_jobs
from cvat_flows.deployments.sandbox.answers import Refusal, answer
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.store import Annotation, Row

PATH = "/api/{kind}/{id:int}/annotations"

router = Router()


@router.route("GET", PATH)
def read(call: Call) -> Any:
    target = Target(call)
    target.refuse_if_poisoned()
    parts = [b'{"version":0']
    for kind in KINDS:
        rows = call.store.annotations(kind, [job["id"] for job in target.jobs])
        rows = without_copies(rows, target.jobs) if kind != "tracks" else rows
        parts.append(b',"%s":[%s]' % (kind.encode(), b",".join(row.body for row in rows)))
    return answer(b"".join(parts) + b"}")


@router.route("PATCH", PATH)
def change(call: Call) -> Row:
    target, body, action = Target(call), call.fields(), call.query.get("action")
    if action not in ("create", "update", "delete"):
        raise Refusal(400, ["Please specify a correct 'action' for the request"])
    check_body(body, action, target.attributes)
    apply = {"create": target.create, "update": target.update, "delete": target.delete}[action]
    return target.apply(apply, body)


@router.route("PUT", PATH)
def replace(call: Call) -> Row:
    target, body = Target(call), call.fields()
    target.refuse_if_poisoned()
    check_body(body, "create", target.attributes)
    return target.apply(target.create, body, changed=target.clear())


@router.route("DELETE", PATH)
def clear(call: Call) -> None:
    target = Target(call)
    target.refuse_if_poisoned()
    target.record_updates(target.clear())


class Target:
    """The task or job that a call is about, and the jobs that hold its annotations."""

    def __init__(self, call: Call) -> None:
        self._call, self._store = call, call.store
        self._task, self._job, data = call.find_target()
        if data is None:
            text = "Exporting annotations from a task without data is not allowed"
            raise Refusal(400, [text])
        self._data = data
        # A task does not include its ground truth, except a pool of honeypots.
        types = ("annotation", "ground_truth") if data["_pool"] else ("annotation",)
        self.jobs = [self._job] if self._job else self._store.jobs_of(self._task["id"], *types)
        self.attributes: Attributes = {
            label["id"]: {one["id"]: one["default_value"] for one in label["attributes"]}
            for label in self._store.labels_of(self._task)
        }

    def refuse_if_poisoned(self) -> None:
        if any(job["_poisoned"] for job in self.jobs):
            raise Refusal(500, "an element has another frame than its skeleton")

    def shares(self, body: Row) -> list[tuple[Row, Row]]:
        """Return the body for each job that gets anything. A job accepts objects of any frame."""
        if self._job is None:
            return share_among_jobs(body, self.jobs, self._data)
        return [(self._job, body)] if any(body.get(kind) for kind in KINDS) else []

    def apply(
        self, change: Callable[[Row, Row], Row], body: Row, changed: Iterable[int] = ()
    ) -> Row:
        """Change each job with its share of the body; return the echo of the whole.

        Args:
            change: `create`, `update` or `delete`.
            body: The objects of the request.
            changed: Ids of jobs that were changed before.
        """
        echo: Row = {"version": 0, **{kind: [] for kind in KINDS}}
        changed_jobs = set(changed)
        for job, share in self.shares(body):
            part = change(job, share)
            for kind in KINDS:
                echo[kind] += part[kind]
            if any(part.values()):
                changed_jobs.add(job["id"])
        self.record_updates(changed_jobs)
        return echo

    def create(self, job: Row, body: Row) -> Row:
        """Store new objects in a job; return their echo."""
        return {kind: self._insert(kind, job, body.get(kind) or ()) for kind in KINDS}

    def update(self, job: Row, body: Row) -> Row:
        """Replace a job's objects with the same ids; return their echo.

        Objects without an id, or with an unknown one, are created. Objects that another job holds
        are left out: that job replaces them.
        """
        echo: Row = {}
        for kind in KINDS:
            own = []
            for item in body.get(kind) or ():
                if self._store.job_of_annotation(kind, item.get("id")) in (None, job["id"]):
                    own.append(item)
            self._store.delete_annotations(job["id"], kind, [one.get("id") for one in own])
            echo[kind] = self._insert(kind, job, own)
        return echo

    def delete(self, job: Row, body: Row) -> Row:
        """Delete a job's objects by id; return the request's objects."""
        for kind in KINDS:
            ids = [item["id"] for item in body.get(kind) or ()]
            self._store.delete_annotations(job["id"], kind, ids)
        return {kind: body.get(kind) or [] for kind in KINDS}

    def clear(self) -> set[int]:
        """Delete all annotations; return the ids of the jobs that had any."""
        return {job["id"] for job in self.jobs if self._store.clear_annotations(job["id"])}

    def record_updates(self, changed: set[int]) -> None:
        """Move the dates of the changed jobs and of the task."""
        for job in self.jobs:
            if job["id"] in changed:
                self._call.record_update("job", job)
                self._call.record_update("task", self._task)

    def _insert(self, kind: str, job: Row, items: Iterable[Row]) -> list[Row]:
        items = list(items)
        count = sum(1 + len(item.get("elements") or ()) for item in items)
        # As in CVAT, tags, shapes and tracks have separate counters.
        next_id = self._store.next_id(f"annotation {kind}", count)
        rows, echoes = [], []
        for item in items:
            echoed, stored = echoed_and_stored(kind, item, self.attributes)
            echoed["id"] = stored["id"] = item["id"] if item.get("id") is not None else next_id
            next_id += 1
            if kind != "tags":
                echoed["elements"], stored["elements"] = [], []
            for element in item.get("elements") or ():
                both = echoed_and_stored(kind, element, self.attributes)
                for part, whole in zip(both, (echoed, stored), strict=True):
                    part["id"] = next_id
                    whole["elements"].append(part)
                next_id += 1
                if kind == "shapes" and element["frame"] != item["frame"]:
                    self._poison(job)
            echoes.append(echoed)
            rows.append(
                Annotation(
                    job["id"], kind, echoed["frame"], echoed["id"], orjson.dumps(stored),
                    orjson.dumps(filled_in(item, self.attributes)),
                )
            )  # fmt: skip
        self._store.add_annotations(rows)
        return echoes

    def _poison(self, job: Row) -> None:
        if not self._call.sandbox.quirks:
            raise Refusal(400, ["An element should be on the frame of its skeleton"])
        job["_poisoned"] = True
