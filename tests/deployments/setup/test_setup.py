from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from cvat_flows.deployments.setup.deployment_file import FILE
from tests.support.live_prefect import LivePrefect
from tests.support.stack import Stack

NOTHING_TO_CHANGE = "\nnothing to change\n"


def test_prefect_deploy_makes_the_same_deployments(stack: Stack) -> None:
    assert stack.is_set_up()
    deployed = stack.prefect.run(
        *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
        *("--prefect-file", str(FILE)),
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert stack.is_set_up()


def test_changes_by_people_stay(stack: Stack) -> None:
    sweep = stack.ask("deployments/name/annotate-new-tasks/annotate-new-tasks", method="GET")
    rules = [{"projects": ["cars"]}]
    stack.ask(
        f"deployments/{sweep['id']}",
        {"parameters": {"run_in": "deployment", "rules": rules}},
        method="PATCH",
    )
    schedule = sweep["schedules"][0]
    stack.ask(
        f"deployments/{sweep['id']}/schedules/{schedule['id']}", {"active": False}, method="PATCH"
    )
    queues = stack.ask("work_pools/cvat/queues/filter", {})
    gpu = next(queue for queue in queues if queue["name"] == "gpu")
    stack.ask("work_pools/cvat/queues/gpu", {"concurrency_limit": 7}, method="PATCH")
    assert stack.is_set_up()

    other = stack.folder / "prefect.yaml"
    other.write_text(FILE.read_text().replace("timezone: UTC", "timezone: Europe/Paris"))
    shown = stack.cvat_flows("setup", "--yes", "--file", str(other))
    assert "schedule nightly.timezone: 'UTC' -> 'Europe/Paris'" in shown
    after = stack.ask(f"deployments/{sweep['id']}", method="GET")
    assert after["parameters"] == {"run_in": "deployment", "rules": rules}
    assert [one["active"] for one in after["schedules"]] == [False]
    assert after["schedules"][0]["schedule"]["timezone"] == "Europe/Paris"
    # Without --file, setup does not undo what a file changed.
    shown = stack.cvat_flows("setup", "--dry-run")
    assert shown.endswith(NOTHING_TO_CHANGE)
    assert "kept as on the server (--file changes it): schedule nightly.timezone" in shown
    # An outdated entrypoint is repaired, and the rest stays even then.
    stack.ask(f"deployments/{sweep['id']}", {"entrypoint": "flows.old"}, method="PATCH")
    stack.cvat_flows("setup", "--yes")
    again = stack.ask(f"deployments/{sweep['id']}", method="GET")
    assert again["entrypoint"] == sweep["entrypoint"]
    for name in ("parameters", "description", "concurrency_limit", "concurrency_options"):
        assert again[name] == after[name]
    assert [one["schedule"] for one in again["schedules"]] == [
        one["schedule"] for one in after["schedules"]
    ]
    assert [one["active"] for one in again["schedules"]] == [False]

    stack.ask(
        f"deployments/{sweep['id']}/schedules/{again['schedules'][0]['id']}",
        {"active": True},
        method="PATCH",
    )
    stack.ask(
        "work_pools/cvat/queues/gpu",
        {"concurrency_limit": gpu["concurrency_limit"]},
        method="PATCH",
    )
    stack.cvat_flows("setup", "--yes", "--file", str(FILE))


def test_gpu_deployments_stay_in_their_pool(stack: Stack, tmp_path: Path) -> None:
    def place(name: str = "annotate-task") -> tuple[str, str]:
        known = stack.ask(f"deployments/name/{name}/{name}", method="GET")
        return known["work_pool_name"], known["work_queue_name"]

    assert place() == ("cvat", "gpu")
    try:
        stack.cvat_flows("setup", "--yes", "--gpu-pool", "north")
        assert place() == place("detect-jobs") == ("north", "default")
        assert stack.is_set_up()
        assert stack.is_set_up("--file", str(FILE))
        detect_jobs = stack.ask("deployments/name/detect-jobs/detect-jobs", method="GET")
        stack.ask(f"deployments/{detect_jobs['id']}", method="DELETE")
        stack.cvat_flows("setup", "--yes")
        assert place("detect-jobs") == ("north", "default")
        assert place("annotate-new-tasks") == ("cvat", "default")
    finally:
        stack.cvat_flows("setup", "--yes", "--gpu-pool", "cvat")
    assert place() == place("detect-jobs") == ("cvat", "gpu")


def test_an_update_keeps_paused_deployments_and_disabled_triggers(
    stack: Stack, tmp_path: Path
) -> None:
    known = stack.ask("deployments/name/annotate-task/annotate-task", method="GET")
    mine = {"paused": True, "job_variables": {"env": {"A": "b"}}}
    # The shipped deployments have no triggers. A person's copy of the file may have some.
    content = yaml.safe_load(FILE.read_text())
    content["deployments"][0]["triggers"] = [{"name": "by event", "expect": ["external.event"]}]
    copy = tmp_path / "prefect.yaml"
    copy.write_text(yaml.safe_dump(content))

    def read_trigger() -> Any:
        (found,) = [one for one in stack.ask("automations/filter", {}) if one["name"] == "by event"]
        return found

    stack.cvat_flows("setup", "--yes", "--file", str(copy))
    trigger = read_trigger()
    stack.ask(f"deployments/{known['id']}", {**mine, "entrypoint": "flows.old"}, method="PATCH")
    stack.ask(f"automations/{trigger['id']}", {"enabled": False}, method="PATCH")
    try:
        stack.cvat_flows("setup", "--yes", "--file", str(copy))
        after = stack.ask(f"deployments/{known['id']}", method="GET")
        assert after["entrypoint"] == known["entrypoint"]
        assert {name: after[name] for name in mine} == mine
        assert not read_trigger()["enabled"]
    finally:
        stack.ask(
            f"deployments/{known['id']}", {"paused": False, "job_variables": {}}, method="PATCH"
        )
        stack.ask(f"automations/{read_trigger()['id']}", method="DELETE")


def test_gpus_from_the_environment(stack: Stack) -> None:
    def planned(**env: str) -> str:
        done = stack.prefect.cvat_flows("setup", "--dry-run", **stack.env, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert planned(CVAT_FLOWS_GPUS="").endswith(NOTHING_TO_CHANGE)
    shown = planned(CVAT_FLOWS_GPUS="north=2 south=1")
    assert "create limit on tag 'gpu:north': 2 at once" in shown
    assert "create limit on tag 'gpu:south': 1 at once" in shown
    assert "runs at once: 4 -> 6" in shown


def test_a_dry_run_changes_nothing(stack: Stack) -> None:
    shown = stack.cvat_flows("setup", "--dry-run", "--gpus", "north=2", "south=1")
    assert "create limit on tag 'gpu:north': 2 at once" in shown
    assert shown.endswith("nothing was changed\n")
    names = [limit["name"] for limit in stack.ask("v2/concurrency_limits/filter", {})]
    assert "tag:gpu:north" not in names


def test_without_a_terminal_it_needs_yes(stack: Stack) -> None:
    done = stack.prefect.cvat_flows("setup", "--gpus", "9", **stack.env)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)


def test_the_block_keeps_its_secret(stack: Stack) -> None:
    shown = stack.cvat_flows("setup", "--yes", "--server-block", "second")
    assert f"create CVATServer block 'second': {stack.sandbox.url} as admin" in shown
    assert "password" not in shown.lower()
    blocks = stack.ask("block_documents/filter", {"include_secrets": False})
    block = next(one for one in blocks if one["name"] == "second")
    assert block["data"]["host"] == stack.sandbox.url
    assert block["data"]["password"].strip("*") == ""


def test_no_server(live_prefect: LivePrefect) -> None:
    done = live_prefect.cvat_flows("setup", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 3
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
