from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from aa_functions.reference import FunctionReference, load_function
from cvat_flows.deployments.doctor import disk
from cvat_flows.deployments.doctor.clock import check_clock
from cvat_flows.deployments.doctor.function import check_function
from cvat_flows.deployments.doctor.gates import check_gates
from cvat_flows.deployments.doctor.prefect_server import check_database
from cvat_flows.deployments.doctor.schedules import check_schedule
from cvat_flows.deployments.doctor.storage import check_storage
from cvat_flows.deployments.doctor.verdict import Verdict, ok, run_checks
from cvat_flows.flows.sweep.rules import RulesError, SweepRule
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.quality.measurement import Measurement, Version
from cvat_flows.tasks.evaluate.quality.store import keep_review
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.storage import open_storage


def levels(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(verdict.what, verdict.level) for verdict in verdicts]


@pytest.mark.parametrize(
    ("driver", "here", "found"),
    [
        ("postgresql+asyncpg", True, {"database": "PostgreSQL"}),
        (None, False, {"database": "neither the database nor its disk can be checked"}),
        (None, True, {"database": "SQLite", "database folder": "0.0 GiB free"}),
    ],
)
def test_the_disk_of_the_database(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    driver: str | None,
    here: bool,
    found: dict[str, str],
) -> None:
    (tmp_path / "prefect.db").touch()
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    settings = {"database": {"driver": driver}}
    verdicts = list(check_database(settings, tmp_path, on_this_machine=here))
    assert [verdict.what for verdict in verdicts] == list(found)
    assert all(verdict.text.startswith(found[verdict.what]) for verdict in verdicts)
    assert {v.level for v in verdicts if v.what == "database folder"} <= {"failure"}


@pytest.mark.parametrize(
    ("age", "level", "text"),
    [(10, "warning", "no run is scheduled yet"), (600, "failure", "has scheduled no run")],
)
def test_a_schedule_without_runs(age: float, level: str, text: str) -> None:
    """Right after setup, doctor must report no failure."""
    changed = datetime.now(UTC) - timedelta(seconds=age)
    nightly: Any = SimpleNamespace(full_name="maintain/maintain", entry={"schedules": [{}]})
    deployment: Any = SimpleNamespace(
        id=UUID(int=1),
        paused=False,
        schedules=[SimpleNamespace(active=True, updated=changed)],
        updated=datetime.now(UTC),
    )
    client: Any = SimpleNamespace(read_flow_runs=lambda **_: [])
    verdict = check_schedule(client, nightly, deployment)
    assert (verdict.level, text in verdict.text) == (level, True)


def test_a_check_that_raises_does_not_stop_the_others() -> None:
    def sentence() -> Any:
        raise CvatFlowsError("it is like this: do that")

    def bug() -> Any:
        yield ok("half", "done")
        raise ZeroDivisionError("oh")

    found = list(run_checks([("one", sentence), ("two", bug), ("three", lambda: [ok("x", "y")])]))
    assert levels(found) == [
        ("one", "failure"),
        ("half", "ok"),
        ("two", "failure"),
        ("x", "ok"),
    ]
    assert found[0].text == "it is like this: do that"


@pytest.mark.parametrize(
    ("ahead", "level", "text"),
    [
        (0, "ok", "agrees"),
        (4, "ok", "agrees"),
        (30, "warning", "30 s ahead"),
        (-60, "warning", "60 s behind"),
    ],
)
def test_clocks(ahead: float, level: str, text: str) -> None:
    now = float(int(time.time()))
    verdict = check_clock("clock", formatdate(now - ahead), now)
    assert (verdict.level, text in verdict.text) == (level, True)


def test_no_date() -> None:
    assert check_clock("clock", None, 0.0).level == "warning"


def test_a_function_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        "import cvat_sdk.auto_annotation as cvataa\n"
        "spec = cvataa.DetectionFunctionSpec(labels=[])\n"
        "def detect(context, image):\n"
        "    raise RuntimeError('no weights')\n"
    )
    found = list(check_function(FunctionReference(file=path)))
    assert levels(found) == [("function", "ok"), ("detection", "failure")]
    assert "no weights" in found[1].text


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, storage_folder: Path) -> None:
    monkeypatch.setattr(disk, "NO_SPACE", 1 << 60)
    found = {verdict.what: verdict.level for verdict in check_storage()}
    assert found == {
        "storage": "ok",
        "temporary folder": "failure",
        "storage folder": "failure",
    }


def test_the_gates_of_rules(storage_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_HOST", "https://cvat.example")
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "token")
    rule = SweepRule(name="street", function="shapes", min_precision={"circle": 0.9})
    (verdict,) = check_gates([SweepRule(), rule], None)
    assert (verdict.what, verdict.level) == ("gate", "warning")
    assert "rule street: this version was never measured" in verdict.text
    function = load_function(FunctionReference.named("shapes"))
    measurement = Measurement(
        kind="review",
        version=Version(
            fingerprint=function.fingerprint or "", options=rule.for_task(1).result_digest()
        ),
        function="shapes",
        when="2026-12-01T02:00:00+00:00",
        about="uploads of the last 90 days",
        overall=Counts(right=60),
        labels={"circle": Counts(right=60)},
    )
    keep_review(open_storage(), "https://cvat.example", [measurement])
    (verdict,) = check_gates([rule], None)
    assert verdict.level == "ok"
    assert "on 60 uploaded annotations (review of 2026-12-01)" in verdict.text
    with pytest.raises(RulesError, match="min_recall names 'car'"):
        list(check_gates([SweepRule(function="shapes", min_recall={"car": 0.9})], None))
