"""Run one schedule of uploads and edits by people twice, without faults and with them, and compare.

Everything is drawn from the schedule's seed. So the seed repeats the schedule, except for the
machine's timing.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from attrs import define, evolve, field, frozen

from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import FolderStorage
from tests.chaos.dice import RETRY_POLICY, FaultDice
from tests.chaos.uploader import Uploader
from tests.chaos.worker import BROKEN, DONE, INTERRUPTED, Attempt, upload
from tests.chaos.world import Content, Cvat, Layout, Server, interfere, outcomes_of, reset
from tests.support.fault_proxy import FaultProxy

LEASE_SECONDS = 0.5
ATTEMPTS_WITH_FAULTS = 6

Records = dict[tuple[int, int], Any]
"""The manifest's records by job and frame, without ids and dates."""


@frozen(kw_only=True)
class Step:
    """A run of the uploader, or something that happens between runs."""

    kind: Literal["run", "people", "manifest lost"]
    existing: Any = "keep"
    version: int = 0


@define(kw_only=True)
class Result:
    """What happened in a schedule."""

    seed: int
    steps: list[Step]
    faults: Counter[str] = field(factory=Counter)
    acts: Counter[str] = field(factory=Counter)
    """What a person did between a create and its answer."""
    change: str = ""
    """What was changed before the second run, if there was one; see `second_run`."""
    steps_of_clock: int = 0
    """Attempts on a machine with a wrong clock."""
    kills: int = 0
    attempts: int = 0
    duplicates: int = 0
    losses: int = 0
    problems: list[str] = field(factory=list)
    seconds: float = 0.0


def run_schedule(seed: int, *, server: Server, uploader: Uploader, folder: Path) -> Result:
    """Run the schedule of `seed` without faults, then with faults, and compare."""
    started = time.monotonic()
    dice = random.Random(seed)
    cvat, layout = server.cvat, dice.choice(server.layouts)
    result = Result(seed=seed, steps=_draw_steps(dice))
    attempt = make_attempt(dice, server, layout, folder / "reference")
    expected: list[tuple[Content, Records]] = []
    reset(cvat, layout, seed)
    without_faults = evolve(attempt, lease_seconds=60.0)
    for number, step in enumerate(result.steps):
        _run_step(
            step, _for_step(without_faults, layout, seed, number, step), cvat, layout, seed + number
        )
        expected.append((cvat.content(layout), _read_records(attempt)))

    attempt = evolve(attempt, folder=str(folder / "faults"))
    people = reset(cvat, layout, seed)
    faults = FaultDice(dice=random.Random(f"accidents {seed}"), drawn=result.faults)
    with FaultProxy(
        upstream=attempt.url, decide=faults.decide, kill=uploader.kill, max_wait_for_write=1.0
    ) as proxy:
        with_faults = evolve(attempt, url=proxy.url)
        for number, step in enumerate(result.steps):
            one = _for_step(with_faults, layout, seed, number, step)
            if step.kind == "run":
                run_with_faults(one, uploader, proxy, faults, result)
            else:
                _run_step(step, one, cvat, layout, seed + number)
            _compare(
                result, number, *expected[number], cvat.content(layout), _read_records(attempt)
            )
            if result.problems:
                break
    if not any(step.kind == "people" or step.existing == "clear" for step in result.steps):
        _check_people(result, people, cvat, layout)
    for name in ("reference", "faults"):
        shutil.rmtree(folder / name, ignore_errors=True)
    result.seconds = time.monotonic() - started
    return result


def make_attempt(dice: random.Random, server: Server, layout: Layout, folder: Path) -> Attempt:
    """Make an attempt that uploads nothing yet."""
    return Attempt(
        url=server.cvat.client.api_map.host,
        token=server.token,
        folder=str(folder),
        task=layout.identity,
        jobs=tuple(job for job, _, _ in layout.jobs),
        outcomes=[],
        existing="keep",
        run=RunStamp(id=""),
        task_labels=layout.task_labels,
        max_shapes=dice.choice([1, 4, 8, 2000]),
        lease_seconds=LEASE_SECONDS,
        retry_policy=RETRY_POLICY,
    )


def _draw_steps(dice: random.Random) -> list[Step]:
    steps = [Step(kind="run", existing=dice.choice(["keep", "keep", "replace", "clear"]))]
    for _ in range(dice.choice([0, 1, 1, 2])):
        if dice.random() < 0.5:
            steps.append(Step(kind="people"))
        if dice.random() < 0.15:
            steps.append(Step(kind="manifest lost"))
        steps.append(
            Step(
                kind="run",
                existing=dice.choice(["keep", "replace", "clear"]),
                version=dice.choice([0, 1, 2]),
            )
        )
    return steps


def _for_step(attempt: Attempt, layout: Layout, seed: int, number: int, step: Step) -> Attempt:
    return evolve(
        attempt,
        outcomes=outcomes_of(layout, seed, step.version),
        existing=step.existing,
        run=RunStamp(id=f"run-{number}", fingerprint=f"version {step.version}"),
    )


def _run_step(step: Step, attempt: Attempt, cvat: Cvat, layout: Layout, seed: int) -> None:
    if step.kind == "people":
        interfere(cvat, layout, seed)
    elif step.kind == "manifest lost":
        shutil.rmtree(Path(attempt.folder), ignore_errors=True)
    else:
        upload(attempt, FolderStorage(Path(attempt.folder)))


def run_with_faults(
    attempt: Attempt,
    uploader: Uploader,
    proxy: FaultProxy,
    faults: FaultDice,
    result: Result,
) -> None:
    """Run the uploader with faults until it ends successfully."""
    faults.kills_left = 3
    for trial in range(ATTEMPTS_WITH_FAULTS + 4):
        faults.enabled = trial < ATTEMPTS_WITH_FAULTS
        faults.faults_left = faults.dice.randrange(8)
        one = evolve(attempt, url=faults.address(attempt.url), clock=faults.clock())
        result.steps_of_clock += one.clock != 0
        if faults.enabled and faults.kills_left and faults.dice.random() < 0.3:
            faults.kills_left -= 1
            one = evolve(
                one,
                kill_at_write=faults.dice.randrange(2 * len(attempt.jobs) + 2),
                kill_phase=faults.dice.choice(["before", "middle", "after"]),
            )
        code = uploader.run(one)
        result.attempts += 1
        proxy.drain()
        if code == DONE and proxy.has_unread_late_write():
            # CVAT carried out a request after the run had verified the job. The next run cleans up.
            result.faults["landed unseen"] += 1
            continue
        if code == DONE:
            return
        if code == -signal.SIGKILL:
            result.kills += 1
        elif code != INTERRUPTED:
            result.problems.append(f"the uploader ended with {code}: {uploader.errors()}")
            if code == BROKEN:
                return
    result.problems.append("the uploader never ended successfully")


def _read_records(attempt: Attempt) -> Records:
    """Read the manifest without ids and dates."""
    manifest = Manifest(
        FolderStorage(Path(attempt.folder)),
        task=attempt.task,
        function="f",
        run=attempt.run,
    )
    return {
        (job, frame): (
            record.state,
            record.run,
            record.content_hash,
            record.pending,
            sorted((item.digest, item.run or "") for item in record.items),
        )
        for job, frame, record in manifest.records()
    }


def _compare(
    result: Result,
    number: int,
    content: Content,
    records: Records,
    found: Content,
    found_records: Records,
) -> None:
    """Compare the task and the manifest after a step with those of the run without faults."""
    step = f"step {number}"
    for job, expected in content.items():
        extra, missing = found[job] - expected, expected - found[job]
        result.duplicates += extra.total()
        result.losses += missing.total()
        result.problems += [f"{step}, job {job}: extra: {text}" for text in extra.elements()]
        result.problems += [f"{step}, job {job}: missing: {text}" for text in missing.elements()]
    for key in sorted(records.keys() | found_records.keys()):
        if records.get(key) != found_records.get(key):
            result.problems.append(
                f"{step}, manifest of job and frame {key}: {found_records.get(key)}, not "
                f"{records.get(key)}"
            )


def _check_people(result: Result, people: dict[int, Any], cvat: Cvat, layout: Layout) -> None:
    """Check that what existed before the first run still exists, unchanged and with its id."""
    for job, before in people.items():
        after = cvat.annotations(job)
        for kind in ("tags", "shapes", "tracks"):
            now = {item["id"]: item for item in after[kind]}
            for item in before[kind]:
                if now.get(item["id"]) != item:
                    result.problems.append(f"job {job}: {kind} {item['id']} of a person changed")
