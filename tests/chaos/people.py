"""Schedules with a person who works in the job just after CVAT has carried out a create.

They delete or move one of the new annotations, or delete all of them, while the uploader has no
answer yet, or is killed. There is no second run to compare with: an oracle says what must be there.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field

from cvat_flows.tasks.record.manifest_file import RunStamp
from tests.chaos.dice import FaultDice
from tests.chaos.schedule import Result, make_attempt, run_with_faults
from tests.chaos.second_run import make_oracles, run_again
from tests.chaos.uploader import Uploader
from tests.chaos.world import Cvat, Server, outcomes_of, reset
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Fault
from tests.support.oracle import Facts, Oracle, facts_of_item

ACTS = ("none", "none", "delete", "delete", "move", "move", "delete all")


@define(kw_only=True)
class People:
    """The people, and what each job must contain."""

    cvat: Cvat
    dice: random.Random
    oracles: dict[int, Oracle]
    acts: Counter[str] = field(factory=Counter)
    _touched: set[Facts] = field(factory=set)
    _lock: threading.Lock = field(factory=threading.Lock)

    def act(self, path: str, fault: Fault, answer: bytes) -> None:
        """Perhaps work on what a create has just made."""
        with self._lock:
            job = int(cast("re.Match[str]", re.search(r"/jobs/(\d+)/", path))[1])
            act = self.dice.choice(ACTS)
            if act == "none":
                return
            made = self._read(job, json.loads(answer))
            if act == "delete all":
                self._delete_all(job, made)
            else:
                self._touch_one(job, made, act, fault)

    def _read(self, job: int, answer: dict[str, list[dict[str, Any]]]) -> list[tuple[str, Any]]:
        """Return the objects of an answer as they are now, with their kinds."""
        now = self.cvat.annotations(job)
        return [
            (kind, item)
            for kind in ("tags", "shapes")
            for item in now[kind]
            if item["id"] in {made["id"] for made in answer[kind]}
        ]

    def _delete_all(self, job: int, made: list[tuple[str, Any]]) -> None:
        oracle = self.oracles[job]
        body: dict[str, list[Any]] = {"tags": [], "shapes": []}
        for kind, item in made:
            body[kind].append(item)
        self.cvat.change(job, "delete", body)
        self.acts["delete all"] += 1
        for _, item in made:
            facts = facts_of_item(item, oracle.defaults)
            self._touched.add(facts)
            # Of two copies only one counts.
            oracle.expected[facts] = max(0, oracle.expected[facts] - 1)
        oracle.touched_completely(item for _, item in made)

    def _touch_one(self, job: int, made: list[tuple[str, Any]], act: str, fault: Fault) -> None:
        oracle = self.oracles[job]
        choice = []
        for kind, item in made:
            facts = facts_of_item(item, oracle.defaults)
            is_one = oracle.expected[facts] == 1 and facts not in self._touched
            if is_one and (act == "delete" or item.get("type") == "rectangle"):
                choice.append((kind, item, facts))
        if not choice or (fault.action == "repeat" and len(made) < 3):
            return
        kind, item, facts = self.dice.choice(choice)
        self._touched.add(facts)
        self.acts[act] += 1
        if act == "delete":
            self.cvat.change(job, "delete", {kind: [item]})
            oracle.removed(item)
        else:
            x1, y1, x2, y2 = item["points"]
            moved = {**item, "points": [x1, y1, x2 + 3.5, y2]}
            self.cvat.change(job, "update", {"shapes": [moved]})
            oracle.changed(item, moved)
        if len(made) == 1:
            oracle.touched_completely([item])


def run_with_people(
    seed: int, *, server: Server, new: Server, uploader: Uploader, folder: Path
) -> Result:
    """Run one schedule, ask the oracle, and run again.

    Args:
        seed: Decides what happens.
        server: Where it happens.
        new: The server after it was installed anew.
        uploader: Uploads.
        folder: An empty folder.
    """
    started = time.monotonic()
    dice = random.Random(f"people at work {seed}")
    cvat, layout = server.cvat, dice.choice(server.layouts)
    result = Result(seed=seed, steps=[])
    outcomes = outcomes_of(layout, seed, 0)
    reset(cvat, layout, seed)
    oracles = make_oracles(cvat, layout, outcomes)
    people = People(cvat=cvat, dice=dice, oracles=oracles)
    faults = FaultDice(dice=random.Random(f"accidents {seed}"), drawn=result.faults)
    attempt = evolve(
        make_attempt(dice, server, layout, folder / "people"),
        outcomes=outcomes,
        existing=dice.choice(["keep", "replace"]),
        run=RunStamp(id="run-0", fingerprint="version 0"),
    )
    with FaultProxy(
        upstream=attempt.url,
        decide=faults.decide,
        kill=uploader.kill,
        after_create=people.act,
        max_wait_for_write=1.0,
    ) as proxy:
        run_with_faults(evolve(attempt, url=proxy.url), uploader, proxy, faults, result)
    result.acts = people.acts
    _ask(result, "after the run", oracles, cvat)
    if not result.problems:
        result.change, result.problems = run_again(
            seed, server=server, layout=layout, new=new, attempt=attempt, uploader=uploader
        )
    shutil.rmtree(folder / "people", ignore_errors=True)
    result.seconds = time.monotonic() - started
    return result


def _ask(result: Result, when: str, oracles: dict[int, Oracle], cvat: Cvat) -> None:
    for job, oracle in oracles.items():
        for problem in oracle.problems(cvat.annotations(job)):
            result.duplicates += problem.startswith("extra")
            result.losses += problem.startswith("missing")
            result.problems.append(f"{when}, job {job}: {problem}")
