"""Each annotation is in CVAT exactly once, whatever happens to the requests."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from tests.support.faults import Action, Fault
from tests.tasks.upload.upload_bench import SHORT_WAITS, Bench, FaultyClient

WithFaults = Callable[..., FaultyClient]

FAULTS = [
    Fault(action="refuse", seconds=0.05),
    Fault(action="reset_before"),
    Fault(action="reset_after"),
    *(
        Fault(action=action, status=status)
        for action in ("status_before", "status_after")
        for status in (429, 500, 502, 503, 504)
    ),
    Fault(action="truncate", seed=3),
    Fault(action="garble", seed=4),
    Fault(action="stall", seconds=60),
    Fault(action="stall_after", seconds=60),
    Fault(action="late"),
]
TIMED_OUT = ("stall", "stall_after", "late")
SHORT_TIMEOUT = evolve(SHORT_WAITS, read_timeout=1.5, wait_after_timeout=0.3)
"""For tests of timeouts. Long enough for an answer that is only slow."""


def name(fault: Fault) -> str:
    return f"{fault.action} {fault.status}" if fault.action.startswith("status") else fault.action


def points(bench: Bench) -> Counter[str]:
    found = bench.annotations()
    return Counter(
        f"{item['frame']} {item.get('type', 'tag')} {item['source']} {item.get('points')}"
        for item in found["shapes"] + found["tags"]
    )


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        pytest.param(target, fault, id=f"{target} {name(fault)}")
        for target in ("read", "create", "delete")
        for fault in FAULTS
        # A read changes nothing, so there is no "after".
        if target != "read" or "after" not in fault.action
    ],
)
def test_a_fault_at_any_exchange_changes_nothing(
    bench: Bench, with_faults: WithFaults, target: str, fault: Fault
) -> None:
    bench.add(bench.box(0, 40))
    bench.upload(*(bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(3)))
    hits: list[int] = []

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        if kind != target or len(hits) >= 2:
            return None
        hits.append(index)
        return fault

    faulty = with_faults(choose_fault)
    # Each frame has the same box twice, so intended copies must not be deleted as duplicates.
    new = [bench.outcome(n, bench.box(n, 20), bench.box(n, 20), bench.tag(n)) for n in range(3)]
    report = bench.upload(
        *new,
        client=faulty.client,
        run="run-2",
        existing="replace",
        retry_policy=SHORT_TIMEOUT if fault.action in TIMED_OUT else SHORT_WAITS,
        max_shapes=4,
    )
    assert hits
    assert (report.created, report.kept, report.failed) == (6, 3, ())
    assert report.deleted >= 3  # more if a late copy was deleted
    expected = Counter({"0 rectangle manual [40.0, 2.0, 50.0, 12.5]": 1})
    for n in range(3):
        expected[f"{n} rectangle auto [20.0, 2.0, 30.0, 12.5]"] = 2
        expected[f"{n} tag auto None"] = 1
    assert points(bench) == expected
    if target != "read":
        assert report.doubtful == len(hits)
    assert bench.upload(*new, run="run-3", existing="replace").requests == 0


def test_after_a_doubtful_create_the_job_is_read_before_a_retry(
    bench: Bench, with_faults: WithFaults
) -> None:
    struck: list[int] = []

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        if kind == "create" and not struck:
            struck.append(index)
            return Fault(action="reset_after")
        return None

    faulty = with_faults(choose_fault)
    report = bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client)
    # read; create without an answer; read back, it is there; verify
    assert faulty.log == ["read", "create", "read", "read"]
    assert (report.created, report.doubtful) == (1, 1)


def test_the_next_run_deletes_duplicates_of_a_very_late_request(
    bench: Bench, with_faults: WithFaults
) -> None:
    over = threading.Event()
    late = [Fault(action="late", release=over)]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return late.pop() if kind == "create" and late else None

    faulty = with_faults(choose_fault)
    outcome = bench.outcome(0, bench.box(0), bench.tag(0))
    bench.upload(outcome, client=faulty.client, retry_policy=SHORT_TIMEOUT)
    over.set()
    faulty.proxy.drain()
    assert bench.frames() == bench.frames("tags") == [0, 0]
    bench.upload(outcome, run="run-2")
    assert bench.frames() == bench.frames("tags") == [0]


@pytest.mark.parametrize("existing", ["keep", "replace", "clear"])
def test_a_request_that_is_carried_out_after_its_retry_leaves_no_duplicate(
    bench: Bench, with_faults: WithFaults, existing: str
) -> None:
    late = [Fault(action="late", overtaken=True)]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return late.pop() if kind == "create" and late else None

    faulty = with_faults(choose_fault)
    outcome = bench.outcome(0, bench.box(0), bench.box(0), bench.tag(0), bench.pose(0))
    report = bench.upload(
        outcome,
        client=faulty.client,
        existing=existing,
        retry_policy=SHORT_TIMEOUT,
    )
    assert faulty.log == ["read", "create", "read", "create", "read", "delete", "read"]
    assert (report.created, report.deleted) == (4, 4)
    assert (bench.frames(), bench.frames("tags")) == ([0, 0, 0], [0])
    assert bench.upload(outcome, run="run-2").requests == 0


def test_copies_by_another_tool_are_not_deleted(bench: Bench) -> None:
    outcome = bench.outcome(0, bench.box(0))
    bench.upload(outcome)
    bench.add(bench.box(0), source="auto")  # the same box by `cvat-cli`
    for existing in ("keep", "replace"):
        bench.upload(outcome, run=existing, existing=existing)
        assert bench.frames() == [0, 0]


def test_retry_after_is_honoured(bench: Bench, with_faults: WithFaults) -> None:
    busy = [Fault(action="status_before", status=429, retry_after="1")] * 2

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return busy.pop() if busy and (kind == "create" or len(busy) == 2) else None

    faulty = with_faults(choose_fault)
    started = time.monotonic()
    report = bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client)
    assert time.monotonic() - started > 2.0
    assert (report.created, bench.frames()) == (1, [0])


@pytest.mark.parametrize("action", ["status_before", "reset_before", "garble"])
def test_after_an_outage_the_next_run_finishes_the_upload(
    bench: Bench, with_faults: WithFaults, action: Action
) -> None:
    outage = [False]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        outage[0] = outage[0] or index == 2
        return Fault(action=action, status=503) if outage[0] else None

    outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(6)]
    impatient = evolve(SHORT_WAITS, give_up_after=0.5)
    with pytest.raises(CvatUnavailable, match=r"job \d+.*run this again"):
        bench.upload(
            *outcomes, client=with_faults(choose_fault).client, retry_policy=impatient, max_shapes=4
        )
    assert bench.frames() in ([0, 1], [0, 1, 2, 3])
    record = bench.manifest().record(bench.jobs[0].id, 5)
    assert record is not None
    assert record.state == "pending"
    assert not bench.manifest().is_done(bench.frame(0))
    report = bench.upload(*outcomes, run="run-2")
    assert report.created + report.kept == 12
    assert bench.frames() == bench.frames("tags") == list(range(6))


def test_a_lasting_500_fails_the_frame_that_causes_it(
    bench: Bench, with_faults: WithFaults
) -> None:
    """Bugs of CVAT answer 500 each time."""

    def choose_fault(index: int, kind: str, exchange: Any) -> Fault | None:
        poisonous = kind == "create" and b'"frame":2' in exchange.body
        return Fault(action="status_before", status=500) if poisonous else None

    outcomes = [bench.outcome(n, bench.box(n)) for n in range(5)]
    report = bench.upload(*outcomes, client=with_faults(choose_fault).client)
    assert [o.frame.number for o in report.failed] == [2]
    assert bench.frames() == [0, 1, 3, 4]


def test_an_unreadable_job_is_explained(bench: Bench, with_faults: WithFaults) -> None:
    faulty = with_faults(lambda i, kind, e: Fault(action="status_before", status=500))
    with pytest.raises(CvatUnavailable, match="damaged"):
        bench.upload(bench.outcome(0, bench.box(0)), client=faulty.client)
    assert set(faulty.log) == {"read"}


def test_annotations_that_cvat_drops_silently_are_sent_again(
    bench: Bench, with_faults: WithFaults
) -> None:
    drops = [Fault(action="drop", frame=1)]

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return drops.pop() if kind == "create" and drops else None

    outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(3)]
    report = bench.upload(*outcomes, client=with_faults(choose_fault).client)
    assert (report.created, report.failed) == (6, ())
    assert bench.frames() == bench.frames("tags") == [0, 1, 2]


def test_a_frame_that_cvat_always_drops_fails(bench: Bench, with_faults: WithFaults) -> None:
    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return Fault(action="drop", frame=1) if kind == "create" else None

    bench.upload(bench.outcome(1, bench.box(1, 40)))
    outcomes = [bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(3)]
    report = bench.upload(
        *outcomes, client=with_faults(choose_fault).client, run="run-2", existing="replace"
    )
    (failed,) = report.failed
    assert failed.failure is not None
    assert "left out 2 of the frame's annotations" in failed.failure.error
    assert bench.frames() == [0, 1, 2]  # frame 1 keeps what it had
    assert bench.frames("tags") == [0, 2]


def test_a_delete_that_cvat_drops_silently_is_repeated(
    bench: Bench, with_faults: WithFaults
) -> None:
    """CVAT can also answer 200 to a delete that it has not carried out."""
    drops = [Fault(action="drop", frame=1)] * 2

    def choose_fault(index: int, kind: str, _: Any) -> Fault | None:
        return drops.pop() if kind == "delete" and drops else None

    bench.upload(*(bench.outcome(n, bench.box(n), bench.tag(n)) for n in range(3)))
    empty = [bench.outcome(n) for n in range(3)]
    faulty = with_faults(choose_fault)
    report = bench.upload(*empty, client=faulty.client, run="run-2", existing="replace")
    assert report.deleted == 6
    assert faulty.log.count("delete") == 3
    assert bench.frames() == bench.frames("tags") == []


@pytest.mark.parametrize("stubborn", [b'"points":[3.5', b'"frame":1'])
def test_objects_that_cvat_refuses_to_delete_are_named(
    bench: Bench, with_faults: WithFaults, stubborn: bytes
) -> None:
    """CVAT deletes by id, so a damaged object is deleted with placeholder points."""

    def choose_fault(index: int, kind: str, exchange: Any) -> Fault | None:
        refused = kind == "delete" and stubborn in exchange.body
        return Fault(action="status_before", status=400) if refused else None

    bench.add(bench.box(1, 3.5), bench.pose(1), bench.box(0, 20))
    new = [bench.outcome(n, bench.box(n)) for n in range(2)]
    report = bench.upload(*new, client=with_faults(choose_fault).client, existing="clear")
    if stubborn == b'"frame":1':
        (failed,) = report.failed
        assert failed.frame.number == 1
        assert failed.failure is not None
        assert "delete it in CVAT" in failed.failure.error
        assert bench.frames() == [0, 1, 1, 1]
    else:
        assert report.failed == ()
        assert bench.frames() == [0, 1]
