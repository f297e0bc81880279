"""The second run of a schedule: what may have changed in CVAT before it, and what it may do.

Nothing, because everything is there. But if CVAT was installed anew, it finds a task with the same
id that is another one, and annotates it whatever the records of the first say.
"""

from __future__ import annotations

import json
import random
from typing import Literal

from attrs import evolve

from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.record.manifest_file import RunStamp
from tests.chaos.uploader import Uploader
from tests.chaos.worker import DONE, Attempt
from tests.chaos.world import (
    LABELS,
    Cvat,
    Layout,
    Server,
    outcomes_of,
    read_labels,
    reset,
)
from tests.support.oracle import Oracle

Change = Literal["nothing", "address", "clock", "default", "project", "new CVAT"]
CHANGES: tuple[Change, ...] = ("nothing", "address", "clock", "default", "project", "new CVAT")


def run_again(
    seed: int, *, server: Server, layout: Layout, new: Server, attempt: Attempt, uploader: Uploader
) -> tuple[Change, list[str]]:
    """Change something, run again, and return what was changed and what is wrong then.

    Args:
        seed: Seed of the schedule.
        server: Where the first run was.
        layout: The task of the first run. It is replaced in `server.layouts` if it is changed.
        new: A CVAT with the same tasks, whose ids are the same, too.
        attempt: The first run.
        uploader: Runs it.
    """
    dice = random.Random(f"second run {seed}")
    change = dice.choice(CHANGES)
    again = evolve(attempt, run=RunStamp(id="run-1", fingerprint="version 0"), lease_seconds=60.0)
    if change == "new CVAT":
        other = new.layouts[server.layouts.index(layout)]
        assert other.identity.task_id == layout.identity.task_id
        return change, _run_on_new(seed, new, other, again, uploader)
    before = layout
    if change == "address":
        again = evolve(again, url=again.url.replace("127.0.0.1", "localhost"))
    if change == "clock":
        again = evolve(again, clock=dice.choice([-3600.0, 3600.0]))
    if change == "default":
        layout = edit_default(server.cvat, layout, "b")
    if change == "project":
        layout = move_to_project(server.cvat, layout)
    server.layouts[server.layouts.index(before)] = layout
    content = server.cvat.content(layout)
    outcomes = outcomes_of(layout, seed, 0)
    code = uploader.run(evolve(again, outcomes=outcomes, task_labels=layout.task_labels))
    problems = []
    if code != DONE:
        problems.append(f"a second run ended with {code}: {uploader.errors()}")
    if server.cvat.content(layout) != content:
        problems.append("a second run changed something")
    if change == "default":
        restored = edit_default(server.cvat, layout, "a")
        server.layouts[server.layouts.index(layout)] = restored
    return change, [f"{change}: {problem}" for problem in problems]


def _run_on_new(
    seed: int, new: Server, layout: Layout, attempt: Attempt, uploader: Uploader
) -> list[str]:
    reset(new.cvat, layout, seed)
    outcomes = outcomes_of(layout, seed, 0)
    oracles = make_oracles(new.cvat, layout, outcomes)
    code = uploader.run(
        evolve(
            attempt,
            url=new.cvat.client.api_map.host,
            token=new.token,
            task=layout.identity,
            jobs=tuple(job for job, _, _ in layout.jobs),
            outcomes=outcomes,
            task_labels=layout.task_labels,
        )
    )
    problems = [] if code == DONE else [f"new CVAT: ended with {code}: {uploader.errors()}"]
    for job, oracle in oracles.items():
        found = oracle.problems(new.cvat.annotations(job))
        problems += [f"new CVAT, job {job}: {problem}" for problem in found]
    return problems


def make_oracles(cvat: Cvat, layout: Layout, outcomes: list[Outcome]) -> dict[int, Oracle]:
    """Return by job what it must contain after an upload to what it contains now."""
    defaults = {
        label.id: {attribute.id: attribute.default for attribute in label.attributes}
        for label in layout.task_labels
    }
    oracles = {}
    for job, _, _ in layout.jobs:
        oracles[job] = Oracle(defaults=defaults)
        oracles[job].there(cvat.annotations(job))
        good = (
            one
            for one in outcomes
            # CVAT refuses a label that does not exist.
            if all(a.label_id < 2**31 - 7 for a in one.annotations or ())
        )
        oracles[job].annotated(one for one in good if job in one.frame.job_ids)
    return oracles


def edit_default(cvat: Cvat, layout: Layout, value: str) -> Layout:
    """Edit the default of the attribute `kind`, which changes what annotations show."""
    car = json.loads(json.dumps(LABELS[0]))
    car["attributes"] = [{**car["attributes"][0], "default_value": value}]
    path = f"/api/tasks/{layout.identity.task_id}"
    if layout.project is not None:
        path = f"/api/projects/{layout.project}"
    cvat.call("PATCH", path, {"labels": [{**car, "id": layout.labels["car"]}]})
    return evolve(layout, **read_labels(cvat, layout.identity.task_id))


def move_to_project(cvat: Cvat, layout: Layout) -> Layout:
    """Move the task into a new project, which gives all labels new ids."""
    project = cvat.call("POST", "/api/projects", {"name": "all", "labels": LABELS[::-1]})["id"]
    task = layout.identity.task_id
    cvat.call("PATCH", f"/api/tasks/{task}", {"project_id": project})
    return evolve(layout, project=project, **read_labels(cvat, task))
