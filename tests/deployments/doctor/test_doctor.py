from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from cvat_flows.deployments.setup.deployment_file import FILE
from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_a_healthy_installation(stack: Stack, project: Any) -> None:
    stack.task(project, frames=1, jobs=1)
    stack.set_rules(stack.rule(project))
    nightly = {"deployments": {"name": {"any_": ["annotate-new-tasks"]}}}
    wait_until(
        lambda: any(run["auto_scheduled"] for run in stack.ask("flow_runs/filter", nightly)),
        what="the nightly runs are scheduled",
    )
    shown = stack.cvat_flows("doctor", "--json", "--function-file", str(stack.function))
    rows = [json.loads(line) for line in shown.splitlines()]
    by_what = {row["what"]: row for row in rows}
    assert not [row for row in rows if row["level"] == "failure"]
    for what in ("CVAT", "CVAT version", "CVAT permissions", "storage", "function", "Prefect"):
        assert by_what[what]["level"] == "ok", by_what[what]
    assert "admin (an admin) sees" in by_what["CVAT permissions"]["text"]
    assert by_what["database"]["text"].startswith("SQLite")
    assert f"GiB free in {stack.prefect.folder}" in by_what["database folder"]["text"]
    assert by_what["lease storage"]["text"].endswith("filesystem")
    assert by_what["work pool"]["text"].startswith("cvat: 1 worker (")
    assert by_what["GPU limit"]["text"] == "gpu: 0 of 2 slots are in use"
    assert by_what["rules"]["text"].startswith("1 rule: ")
    assert "annotate-new-tasks/annotate-new-tasks, next run at" in shown


def test_everything_fails(stack: Stack, tmp_path: Path) -> None:
    done = stack.prefect.cvat_flows(
        *("doctor", "--function-module", "no.such.module"),
        **{
            **stack.env,
            "CVAT_PASSWORD": "wrong",
            "CVAT_FLOWS_STORAGE": "/proc/nothing/can/be/here",
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
        },
    )
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "does not accept the credentials of admin" in text
    assert "storage: Cannot write" in text
    assert "There is no module 'no.such.module'" in text
    assert "http://127.0.0.1:9/api does not answer" in text
    assert "Traceback" not in text


def test_strict_exits_with_1_for_warnings(stack: Stack) -> None:
    options = ("doctor", "--without", "cvat", "function", "schedules")
    stack.ask("work_pools/cvat", {"is_paused": True}, method="PATCH")
    try:
        assert "paused" in stack.cvat_flows(*options)
        stack.cvat_flows(*options, "--strict", expect=1)
    finally:
        stack.ask("work_pools/cvat", {"is_paused": False}, method="PATCH")


def test_the_deployments_of_a_users_own_file(stack: Stack, tmp_path: Path) -> None:
    content = yaml.safe_load(FILE.read_text())
    sweep = next(one for one in content["deployments"] if one["name"] == "annotate-new-tasks")
    content["deployments"].append({**sweep, "name": "hourly"})
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump(content))
    options = ("doctor", "--only", "schedules", "--file", str(path))
    shown = " ".join(stack.cvat_flows(*options, expect=1).split())
    assert "'annotate-new-tasks/hourly' is missing" in shown


def test_automations_that_are_missing_or_switched_off(stack: Stack) -> None:
    def check() -> list[tuple[str, str]]:
        shown = stack.cvat_flows("doctor", "--json", "--only", "automations")
        rows = map(json.loads, shown.splitlines())
        return [(row["level"], row["text"]) for row in rows]

    notify = ("warning", "'cvat-flows · tell somebody about failed runs' is missing")
    existing = stack.ask("automations/filter", {})
    if any("tell somebody" in one["name"] for one in existing):  # another test has created it
        notify = ("ok", "tell somebody about failed runs")
    assert check() == [("ok", "runs whose worker died"), notify]
    (known,) = [one for one in existing if "died" in one["name"]]
    same = {name: known[name] for name in ("description", "trigger", "actions")}
    another = {**same, "name": "cvat-flows · another", "enabled": False}
    theirs = stack.ask("automations/", another)
    stack.ask(f"automations/{known['id']}", {"enabled": False}, method="PATCH")
    try:
        off = ("warning", "'cvat-flows · runs whose worker died' is switched off")
        assert check() == [off, notify]
    finally:
        stack.ask(f"automations/{known['id']}", {"enabled": True}, method="PATCH")
        stack.ask(f"automations/{theirs['id']}", method="DELETE")
