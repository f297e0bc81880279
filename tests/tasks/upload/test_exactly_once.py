"""Each annotation is in CVAT once, and people's work stays, also with a person in between.

An oracle says what the job must contain. It does not read the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.model.frames import Outcome
from tests.support.faults import Fault
from tests.support.oracle import Oracle
from tests.tasks.upload.upload_bench import SHORT_WAITS, Bench, FaultyClient

WithFaults = Callable[..., FaultyClient]
CREATE = {"method": "PATCH", "path": r"/jobs/\d+/annotations$", "query": "action=create"}
PATIENT = evolve(SHORT_WAITS, request_lifetime=30.0)
"""Nobody waits as long as this in a test."""
UNANSWERED = [
    Fault(action="reset_after"),
    Fault(action="status_after", status=504),
    Fault(action="status_after", status=500),
    Fault(action="truncate", seed=3),
]


class Killed(BaseException):
    """The process ends here; nothing else is written."""


def kill_at(check: int) -> Callable[[], None]:
    """Return an option `check` that ends the upload when it is called for the nth time.

    It is called before each write: first of the intent, then of each request, then of the result.
    """
    calls: list[None] = []

    def check_lease() -> None:
        calls.append(None)
        if len(calls) == check:
            raise Killed

    return check_lease


@pytest.fixture
def oracle(bench: Bench) -> Oracle:
    """Before anything is annotated, a person has drawn what the function returns, too."""
    oracle = Oracle(
        defaults={bench.labels["car"]: {bench.attributes["kind"]: "a"}},
    )
    bench.add(bench.box(0), bench.box(2))
    oracle.there(bench.annotations(0))
    return oracle


@pytest.fixture
def sandbox_faults(sandbox: SandboxProcess) -> Iterator[Callable[..., None]]:
    """Set a rule of the sandbox's own faults for creates."""
    yield lambda **rule: sandbox.set_faults([{**CREATE, **rule}])
    sandbox.clear_faults()


def outcomes_of(bench: Bench) -> list[Outcome]:
    """Frame 0 has the same box twice, frame 2 a single object."""
    return [
        bench.outcome(0, bench.box(0), bench.box(0), bench.tag(0), bench.pose(0)),
        bench.outcome(1, bench.box(1), bench.box(1, 20), bench.tag(1)),
        bench.outcome(2, bench.box(2)),
    ]


def person(act: str, bench: Bench, oracle: Oracle, frame: int) -> None:
    """A person works on one frame."""
    content = bench.annotations(0)
    ours = [s for s in content["shapes"] if s["frame"] == frame and s["source"] == "auto"]
    if act == "deletes one":
        bench.remove(ours[0])
        oracle.removed(ours[0])
    elif act == "moves one":
        moved = {**ours[0], "points": [3.0, 3.0, 9.0, 9.0]}
        bench.edit(ours[0], points=moved["points"])
        oracle.changed(ours[0], moved)
    else:
        tags = [t for t in content["tags"] if t["frame"] == frame]
        bench.change("delete", {"shapes": ours, "tags": tags})
        for item in (*ours, *tags):
            oracle.removed(item)


ACTS = pytest.mark.parametrize("act", ["deletes one", "moves one", "empties the frame"])
FRAMES = pytest.mark.parametrize("frame", [1, 2])


@FRAMES
@ACTS
@pytest.mark.parametrize("fault", UNANSWERED, ids=lambda f: f"{f.action} {f.status}")
def test_a_person_works_while_a_request_has_no_answer(
    bench: Bench, oracle: Oracle, with_faults: WithFaults, act: str, frame: int, fault: Fault
) -> None:
    faults = [fault]
    acts: list[str] = []

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        if kind == "read" and not faults and not acts:
            acts.append(act)
            person(act, bench, oracle, frame)
        return faults.pop() if kind == "create" and faults else None

    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, client=with_faults(choose_fault).client, retry_policy=PATIENT)
    assert oracle.problems(bench.annotations(0)) == []
    withheld = 3 if (act, frame) == ("empties the frame", 1) else 1
    assert (report.withheld, report.created) == (withheld, 8 - withheld)
    again = bench.upload(*outcomes, run="run-2")
    assert (again.requests, again.withheld, again.kept) == (0, withheld, 8 - withheld)


@FRAMES
@ACTS
@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_a_person_works_after_a_run_was_killed(
    bench: Bench, oracle: Oracle, act: str, frame: int, existing: str
) -> None:
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    with pytest.raises(Killed):
        bench.upload(*outcomes, check=kill_at(3))
    assert oracle.problems(bench.annotations(0)) == []
    person(act, bench, oracle, frame)
    # The next run begins with a part of the frames.
    report = bench.upload(outcomes[frame], run="run-2", existing=existing, retry_policy=PATIENT)
    withheld = 3 if (act, frame) == ("empties the frame", 1) else 1
    assert (report.created, report.withheld) == (0, withheld)
    bench.upload(*outcomes, run="run-3", existing=existing, retry_policy=PATIENT)
    assert oracle.problems(bench.annotations(0)) == []


def test_a_person_empties_the_job_after_a_run_was_killed(bench: Bench, oracle: Oracle) -> None:
    """Nothing tells any more whether the request was carried out, so it is sent again."""
    outcomes = outcomes_of(bench)
    with pytest.raises(Killed):
        bench.upload(*outcomes, check=kill_at(3))
    for frame in range(3):
        content = bench.annotations(0)
        ours = [s for s in content["shapes"] if s["frame"] == frame and s["source"] == "auto"]
        bench.change("delete", {"shapes": ours, "tags": content["tags"]})
    oracle.annotated(outcomes)
    assert bench.upload(*outcomes, run="run-2").created == 8
    assert oracle.problems(bench.annotations(0)) == []


@pytest.mark.parametrize("check", [1, 2, 3, 4, 5, 6])
def test_a_run_is_killed_between_its_requests(bench: Bench, oracle: Oracle, check: int) -> None:
    """Frame 0 is in the first request, frames 1 and 2 are in the second."""
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    with suppress(Killed):
        bench.upload(*outcomes, check=kill_at(check), max_shapes=4)
    report = bench.upload(*outcomes, run="run-2")
    assert report.created + report.kept == 8
    assert oracle.problems(bench.annotations(0)) == []


@pytest.mark.parametrize("check", range(3, 9))
def test_a_run_is_killed_while_it_halves_a_refused_request(
    bench: Bench, oracle: Oracle, check: int
) -> None:
    """One half was carried out and the other not sent: nobody has removed the other."""
    bad = bench.outcome(3, bench.box(3, attributes=((2**31 - 7, "x"),)))
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    with suppress(Killed):
        bench.upload(*outcomes, bad, check=kill_at(check))
    report = bench.upload(*outcomes, bad, run="run-2")
    assert report.withheld == 0
    assert [o.frame.number for o in report.failed] == [3]
    assert oracle.problems(bench.annotations(0)) == []


@pytest.mark.parametrize("action", ["reset", "status"])
def test_a_request_that_is_carried_out_late_is_not_sent_again(
    bench: Bench, oracle: Oracle, sandbox_faults: Callable[..., None], action: str
) -> None:
    """The backend goes on after the gateway has closed the connection, or given up."""
    sandbox_faults(action=action, status=504, when="late", lateness=1.0)
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    policy = evolve(SHORT_WAITS, request_lifetime=3.0)
    report = bench.upload_once(*outcomes, retry_policy=policy)
    assert report.waiting == (0, 1, 2)
    assert report.frames == ()
    # A second run comes to the same conclusion.
    assert bench.upload_once(*outcomes, run="run-2", retry_policy=policy).waiting == (0, 1, 2)
    report = bench.upload(*outcomes, run="run-3", retry_policy=policy)
    assert (report.requests, report.created, report.kept) == (0, 0, 8)
    assert oracle.problems(bench.annotations(0)) == []
    assert bench.manifest("run-4").is_done(bench.frame(1))


def test_the_other_frames_do_not_wait(
    bench: Bench, oracle: Oracle, with_faults: WithFaults
) -> None:
    faults = [Fault(action="reset_before")]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return faults.pop() if kind == "create" and faults else None

    faulty = with_faults(choose_fault)
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, client=faulty.client, max_shapes=4)
    # frame 0, a look, the other frames, the last look; then another round for frame 0
    assert faulty.log == [
        *("read", "create", "read", "create", "read"),
        *("read", "create", "read"),
    ]
    assert (report.created, report.requests, report.doubtful) == (8, 3, 1)
    assert sorted(frame.frame for frame in report.frames) == [0, 1, 2]
    assert oracle.problems(bench.annotations(0)) == []


@pytest.mark.parametrize("status", [429, 500])
def test_a_request_that_was_turned_away_is_sent_again_at_once(
    bench: Bench, with_faults: WithFaults, status: int
) -> None:
    faults = [Fault(action="status_before", status=status)]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return faults.pop() if kind == "create" and faults else None

    faulty = with_faults(choose_fault)
    report = bench.upload_once(
        bench.outcome(0, bench.box(0)), client=faulty.client, retry_policy=PATIENT
    )
    assert (report.created, report.waiting) == (1, ())


def test_a_request_that_was_not_sent_is_sent_again_at_once(
    bench: Bench, with_faults: WithFaults
) -> None:
    """The second create needs a new connection, which is refused for a while."""
    faulty = with_faults()

    def check() -> None:
        if faulty.log == ["read", "create"]:
            faulty.log.append("refused")
            faulty.client.api_client.rest_client.pool_manager.clear()
            faulty.proxy.refuse(0.5)

    report = bench.upload_once(
        *outcomes_of(bench), client=faulty.client, retry_policy=PATIENT, max_shapes=4, check=check
    )
    assert (report.created, report.waiting) == (8, ())
    assert report.doubtful >= 1
    assert faulty.log == ["read", "create", "refused", "read", "create", "read"]


def test_a_server_that_never_stores_anything_ends_the_upload(
    bench: Bench, with_faults: WithFaults
) -> None:
    faulty = with_faults(
        lambda index, kind, _: Fault(action="reset_before") if kind == "create" else None
    )
    policy = evolve(SHORT_WAITS, request_lifetime=0.0)
    with pytest.raises(CvatUnavailable, match=r"frame 0 and later frames"):
        bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client, retry_policy=policy)
    policy = evolve(SHORT_WAITS, first_wait=0.0, request_lifetime=0.1)
    with pytest.raises(
        CvatUnavailable,
        match=r"^1 frame of job \d+ is to be looked at again: .*; run this again after \d\d:",
    ):
        bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client, retry_policy=policy)
    assert bench.upload(bench.outcome(0, bench.box(0)), run="run-2").created == 1
    assert bench.frames() == [0]


def test_what_is_carried_out_late_counts_as_created(
    bench: Bench, sandbox_faults: Callable[..., None]
) -> None:
    sandbox_faults(action="reset", when="late", lateness=0.3)
    policy = evolve(SHORT_WAITS, request_lifetime=1.0)
    report = bench.upload(*outcomes_of(bench), retry_policy=policy)
    assert (report.requests, report.created, report.kept) == (1, 8, 0)


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
def test_a_request_that_is_carried_out_twice_with_one_clear_answer(
    bench: Bench, oracle: Oracle, sandbox_faults: Callable[..., None], existing: str
) -> None:
    sandbox_faults(action="repeat")
    outcomes = outcomes_of(bench)
    if existing == "clear":
        oracle.expected.clear()
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, existing=existing)
    assert oracle.problems(bench.annotations(0)) == []
    assert report.created == 8
    assert report.deleted == (8 if existing != "clear" else 10)
    assert bench.upload(*outcomes, run="run-2").requests == 0


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
@pytest.mark.parametrize("check", [3, 4])
def test_a_run_is_killed_before_it_has_seen_that_a_request_was_carried_out_twice(
    bench: Bench,
    oracle: Oracle,
    sandbox_faults: Callable[..., None],
    existing: str,
    check: int,
) -> None:
    sandbox_faults(action="repeat")
    outcomes = outcomes_of(bench)
    with pytest.raises(Killed):
        bench.upload(*outcomes, check=kill_at(check))
    assert not bench.manifest("run-2").is_done(bench.frame(1))
    if existing == "clear":
        oracle.expected.clear()
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, run="run-2", existing=existing)
    assert (report.created, report.kept) == (0, 8)
    assert oracle.problems(bench.annotations(0)) == []
    assert bench.manifest("run-3").is_done(bench.frame(1))


@pytest.mark.parametrize("check", [7, 8, 10])
def test_a_run_is_killed_while_it_deletes_second_copies(
    bench: Bench, oracle: Oracle, sandbox_faults: Callable[..., None], check: int
) -> None:
    """What it has deleted of a copy is not taken for the work of a person."""
    sandbox_faults(action="repeat")
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    with pytest.raises(Killed):
        bench.upload(*outcomes, max_shapes=1, check=kill_at(check))
    report = bench.upload(*outcomes, run="run-2")
    assert (report.created, report.kept, report.withheld) == (0, 8, 0)
    assert oracle.problems(bench.annotations(0)) == []
    assert bench.upload(*outcomes, run="run-3").requests == 0


def test_an_unseen_request_of_a_killed_run_is_no_reason_to_delete_the_work_of_others(
    bench: Bench, oracle: Oracle
) -> None:
    outcomes = outcomes_of(bench)
    with pytest.raises(Killed):
        bench.upload(*outcomes, check=kill_at(4))
    oracle.annotated(outcomes)
    person("moves one", bench, oracle, 1)
    for item in bench.add(bench.box(0), bench.box(2), source="auto"):
        oracle.drawn({"attributes": [], "elements": [], **item})
    report = bench.upload(*outcomes, run="run-2")
    assert (report.created, report.deleted, report.withheld) == (0, 0, 1)
    assert oracle.problems(bench.annotations(0)) == []


def test_equal_objects_of_somebody_else_are_not_taken_for_a_second_copy(
    bench: Bench, oracle: Oracle, with_faults: WithFaults
) -> None:
    """While the upload runs, another tool creates some of the same annotations."""

    def other_tool(index: int, kind: str, _: Any) -> None:
        if index == 1:
            bench.add(bench.box(1), bench.box(0), source="auto")

    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, client=with_faults(other_tool).client)
    for item in bench.annotations(0)["shapes"]:
        if item["id"] in _first_two_autos(bench):
            oracle.drawn(item)
    assert report.deleted == 0
    assert oracle.problems(bench.annotations(0)) == []


def _first_two_autos(bench: Bench) -> list[int]:
    return sorted(s["id"] for s in bench.annotations(0)["shapes"] if s["source"] == "auto")[:2]


def test_an_answer_that_drips_is_no_answer(
    bench: Bench, oracle: Oracle, sandbox_faults: Callable[..., None]
) -> None:
    sandbox_faults(action="drip", pace=0.05)
    outcomes = outcomes_of(bench)
    oracle.annotated(outcomes)
    report = bench.upload(*outcomes, retry_policy=evolve(SHORT_WAITS, transfer_timeout=0.3))
    assert (report.created, report.doubtful, report.requests) == (8, 1, 1)
    assert oracle.problems(bench.annotations(0)) == []


def test_one_read_finds_that_nothing_is_there_twice(bench: Bench, with_faults: WithFaults) -> None:
    faulty = with_faults()
    bench.upload(*outcomes_of(bench), client=faulty.client)
    assert faulty.log == ["read", "create", "read"]
