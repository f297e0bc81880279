"""Reading and changing annotations, of a task or of one of its jobs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson

from cvat_flows.deployments.sandbox.overlap import without_twins
from cvat_flows.deployments.sandbox.shapes import KINDS, Attributes, check_body, echo_and_stored
from cvat_flows.deployments.sandbox.store import Annotation, Row
from cvat_flows.deployments.sandbox.web import Call, Refusal, answer, route


class Target:
    """The task or job that a call is about, and the jobs that it reaches."""

    def __init__(self, call: Call) -> None:
        self.call, self.store = call, call.store
        self.task, self.job, data = call.subject()
        if data is None:
            text = "Exporting annotations from a task without data is not allowed"
            raise Refusal(400, [text])
        # Ground truth lives apart from the task; only a pool of honeypots belongs to it.
        types = ("annotation", *(["ground_truth"] if data["_pool"] else []))
        self.jobs = [self.job] if self.job else call.store.jobs_of(self.task["id"], *types)
        self.data = data
        self.attributes: Attributes = {
            label["id"]: {one["id"]: one["default_value"] for one in label["attributes"]}
            for label in call.store.labels_of(self.task)
        }

    def refuse_if_poisoned(self) -> None:
        if any(job["_poisoned"] for job in self.jobs):
            raise Refusal(500, "an element lies on another frame than its skeleton")

    def shares(self, body: Row) -> list[tuple[Row, Row]]:
        """What of a body goes to each job, in order; jobs that get nothing are left out.

        A task's objects go to the jobs that have their frame, and nowhere if there is none. A job
        takes whatever it is given.
        """
        if self.job is not None:
            return [(self.job, body)] if any(body.get(kind) for kind in KINDS) else []
        body = self._mirrored(body) if self.data["_honeypots"] else body
        owners: dict[int, list[int]] = {}
        shares: defaultdict[int, defaultdict[str, list[Row]]]
        shares = defaultdict(lambda: defaultdict(list))
        for kind in ("tags", "shapes"):
            for item in body.get(kind) or ():
                if (at := item["frame"]) not in owners:
                    jobs = (
                        job for job in self.jobs if job["start_frame"] <= at <= job["stop_frame"]
                    )
                    owners[at] = [job["id"] for job in jobs]
                for job_id in owners[at]:
                    shares[job_id][kind].append(item)
        for track in body.get("tracks") or ():
            for job in self.jobs:
                if (part := _part_of_track(track, job, self.data["size"])) is not None:
                    shares[job["id"]]["tracks"].append(part)
        return [(job, shares[job["id"]]) for job in self.jobs if job["id"] in shares]

    def _mirrored(self, body: Row) -> Row:
        """With honeypots: what is on a pool frame replaces what the same body has on its copies."""
        copy_of = {int(copy): real for copy, real in self.data["_honeypots"].items()}
        mirrored = dict(body)
        for kind in ("tags", "shapes"):
            items = body.get(kind) or []
            given = {item["frame"] for item in items}
            mirrored[kind] = [one for one in items if copy_of.get(one["frame"]) not in given]
            for copy, real in copy_of.items():
                mirrored[kind] += [_moved(one, copy) for one in items if one["frame"] == real]
        return mirrored

    def write(self, job: Row, body: Row, *, update: bool = False) -> Row:
        """Create a job's objects, or replace those that have an id; gives the answer.

        An unknown id is created as it is. What another job holds is left to that job.
        """
        made: Row = {}
        for kind in KINDS:
            items = list(body.get(kind) or ())
            if update:
                holders = [self.store.job_holding(kind, one.get("id")) for one in items]
                held = zip(items, holders, strict=True)
                items = [one for one, holder in held if holder in (None, job["id"])]
                self.store.delete_annotations(job["id"], kind, [one.get("id") for one in items])
            made[kind] = self._insert(kind, job, items)
        return made

    def _insert(self, kind: str, job: Row, items: list[Row]) -> list[Row]:
        counts = [1 + len(item.get("elements") or ()) for item in items]
        # Tags, shapes and tracks count apart, as in CVAT.
        next_id = self.store.next_id(f"annotation {kind}", sum(counts))
        rows, echoes = [], []
        for item in items:
            echo, stored = echo_and_stored(kind, item, self.attributes)
            echo["id"] = stored["id"] = item["id"] if item.get("id") is not None else next_id
            next_id += 1
            if kind != "tags":
                echo["elements"], stored["elements"] = [], []
            for element in item.get("elements") or ():
                both = echo_and_stored(kind, element, self.attributes)
                for one, whole in zip(both, (echo, stored), strict=True):
                    one["id"] = next_id
                    whole["elements"].append(one)
                next_id += 1
                if kind == "shapes" and element["frame"] != item["frame"]:
                    self._poison(job)
            echoes.append(echo)
            body = orjson.dumps(stored)
            rows.append(Annotation(job["id"], kind, echo["frame"], echo["id"], body))
        self.store.add_annotations(rows)
        return echoes

    def _poison(self, job: Row) -> None:
        if not self.call.sandbox.quirks:
            raise Refusal(400, ["An element should be on the frame of its skeleton"])
        job["_poisoned"] = True

    def touch(self, jobs: set[int]) -> None:
        for job in (job for job in self.jobs if job["id"] in jobs):
            self.call.changed("job", job)
            self.call.changed("task", self.task)

    def clear(self) -> set[int]:
        """Remove everything; gives the jobs that had anything."""
        return {job["id"] for job in self.jobs if self.store.clear_annotations(job["id"])}


def _part_of_track(track: Row, job: Row, size: int) -> Row | None:
    """The part of a track in a job; where it goes on elsewhere it ends in an `outside` keyframe."""
    start, stop = job["start_frame"], job["stop_frame"]
    keys = [one for one in track.get("shapes") or () if one["frame"] < size]
    inside = [one for one in keys if start <= one["frame"] <= stop]
    if not inside:
        return None
    if any(one["frame"] > stop for one in keys):
        inside.append({**inside[-1], "frame": stop + 1, "outside": True})
    parts = (_part_of_track(one, job, size) for one in track.get("elements") or ())
    elements = [part for part in parts if part is not None]
    return {**track, "frame": inside[0]["frame"], "shapes": inside, "elements": elements}


def _moved(item: Row, frame: int) -> Row:
    elements = [{**element, "frame": frame} for element in item.get("elements") or ()]
    return {**item, "frame": frame, "elements": elements}


PATH = "/api/{kind}/{id:int}/annotations"


@route("GET", PATH)
def read(call: Call) -> Any:
    target = Target(call)
    target.refuse_if_poisoned()
    parts = [b'{"version":0']
    for kind in KINDS:
        rows = call.store.annotations(kind, [job["id"] for job in target.jobs])
        rows = without_twins(rows, target.jobs) if kind != "tracks" else rows
        parts.append(b',"%s":[%s]' % (kind.encode(), b",".join(row.body for row in rows)))
    return answer(b"".join(parts) + b"}")


@route("PUT PATCH", PATH)
def write(call: Call) -> Row:
    target, body = Target(call), call.fields()
    action = "create" if call.request.method == "PUT" else call.query.get("action", "")
    if action not in ("create", "update", "delete"):
        raise Refusal(400, ["Please specify a correct 'action' for the request"])
    touched = set()
    if call.request.method == "PUT":
        target.refuse_if_poisoned()
    check_body(body, action, target.attributes)
    if call.request.method == "PUT":
        touched = target.clear()
    echo: Row = {"version": 0, **{kind: [] for kind in KINDS}}
    for job, share in target.shares(body):
        if action == "delete":
            made: Row = {kind: share.get(kind) or [] for kind in KINDS}
            for kind in KINDS:
                ids = [item["id"] for item in made[kind]]
                call.store.delete_annotations(job["id"], kind, ids)
        else:
            made = target.write(job, share, update=action == "update")
        for kind in KINDS:
            echo[kind] += made[kind]
        if any(made.values()):
            touched.add(job["id"])
    target.touch(touched)
    return echo


@route("DELETE", PATH)
def clear(call: Call) -> None:
    target = Target(call)
    target.refuse_if_poisoned()
    target.touch(target.clear())
