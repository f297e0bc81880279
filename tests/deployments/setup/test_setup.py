from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import isabstract
from pathlib import Path
from queue import Queue
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prefect.blocks.abstract import NotificationBlock
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from cvat_flows.deployments.setup.changes import SetupError, list_differences, merge
from cvat_flows.deployments.setup.deployment_diff import diff_schedules
from cvat_flows.deployments.setup.deployment_file import FILE
from cvat_flows.deployments.setup.gpu_limits import parse_gpus
from tests.support.live_prefect import LivePrefect
from tests.support.stack import SECRET, Stack
from tests.support.waiting import HANG_TIMEOUT

NOTHING = "nothing to change"


def last_line(text: str) -> str:
    return text.splitlines()[-1]


def test_prefect_deploy_makes_the_same_deployments(stack: Stack) -> None:
    assert last_line(stack.cvat_flows("setup", "--dry-run")) == NOTHING
    deployed = stack.prefect.run(
        *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
        *("--prefect-file", str(FILE)),
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert last_line(stack.cvat_flows("setup", "--dry-run")) == NOTHING


def test_changes_by_people_stay(stack: Stack) -> None:
    sweep = stack.ask("deployments/name/annotate-new-tasks/annotate-new-tasks", method="GET")
    rules = [{"projects": ["cars"]}]
    stack.ask(
        f"deployments/{sweep['id']}",
        {"parameters": {"parameters": {"run_in": "deployment", "rules": rules}}},
        method="PATCH",
    )
    schedule = sweep["schedules"][0]
    stack.ask(
        f"deployments/{sweep['id']}/schedules/{schedule['id']}", {"active": False}, method="PATCH"
    )
    queues = stack.ask("work_pools/cvat/queues/filter", {})
    gpu = next(queue for queue in queues if queue["name"] == "gpu")
    stack.ask("work_pools/cvat/queues/gpu", {"concurrency_limit": 7}, method="PATCH")
    assert last_line(stack.cvat_flows("setup", "--dry-run")) == NOTHING

    other = stack.folder / "prefect.yaml"
    other.write_text(FILE.read_text().replace("timezone: UTC", "timezone: Europe/Paris"))
    shown = stack.cvat_flows("setup", "--yes", "--file", str(other))
    assert "schedule nightly.timezone: 'UTC' -> 'Europe/Paris'" in shown
    after = stack.ask(f"deployments/{sweep['id']}", method="GET")
    assert after["parameters"]["parameters"] == {"run_in": "deployment", "rules": rules}
    assert [one["active"] for one in after["schedules"]] == [False]
    assert after["schedules"][0]["schedule"]["timezone"] == "Europe/Paris"
    # Without --file, setup does not undo what a file changed.
    shown = stack.cvat_flows("setup", "--dry-run")
    assert last_line(shown) == NOTHING
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
        assert last_line(stack.cvat_flows("setup", "--dry-run")) == NOTHING
        assert last_line(stack.cvat_flows("setup", "--dry-run", "--file", str(FILE))) == NOTHING
        detect_jobs = stack.ask("deployments/name/detect-jobs/detect-jobs", method="GET")
        stack.ask(f"deployments/{detect_jobs['id']}", method="DELETE")
        stack.cvat_flows("setup", "--yes")
        assert place("detect-jobs") == ("north", "default")
        assert place("annotate-new-tasks") == ("cvat", "default")
    finally:
        stack.cvat_flows("setup", "--yes", "--gpu-pool", "cvat")
    assert place() == place("detect-jobs") == ("cvat", "gpu")


def test_an_update_keeps_paused_deployments_and_disabled_triggers(stack: Stack) -> None:
    known = stack.ask("deployments/name/annotate-task/annotate-task", method="GET")
    mine = {"paused": True, "job_variables": {"env": {"A": "b"}}}
    (trigger,) = [one for one in stack.ask("automations/filter", {}) if "is ready" in one["name"]]
    stack.ask(f"deployments/{known['id']}", {**mine, "entrypoint": "flows.old"}, method="PATCH")
    stack.ask(f"automations/{trigger['id']}", {"enabled": False}, method="PATCH")
    try:
        stack.cvat_flows("setup", "--yes")
        after = stack.ask(f"deployments/{known['id']}", method="GET")
        assert after["entrypoint"] == known["entrypoint"]
        assert {name: after[name] for name in mine} == mine
        triggers = stack.ask("automations/filter", {})
        (trigger,) = [one for one in triggers if "is ready" in one["name"]]
        assert not trigger["enabled"]
    finally:
        stack.ask(
            f"deployments/{known['id']}", {"paused": False, "job_variables": {}}, method="PATCH"
        )
        stack.ask(f"automations/{trigger['id']}", {"enabled": True}, method="PATCH")


def test_gpus_from_the_environment(stack: Stack) -> None:
    def planned(**env: str) -> str:
        done = stack.prefect.cvat_flows("setup", "--dry-run", **stack.env, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert last_line(planned(CVAT_FLOWS_GPUS="")) == NOTHING
    shown = planned(CVAT_FLOWS_GPUS="north=2 south=1")
    assert "create limit on tag 'gpu:north': 2 at once" in shown
    assert "create limit on tag 'gpu:south': 1 at once" in shown
    assert "runs at once: 4 -> 6" in shown


def test_a_dry_run_changes_nothing(stack: Stack) -> None:
    shown = stack.cvat_flows("setup", "--dry-run", "--gpus", "north=2", "south=1")
    assert "create limit on tag 'gpu:north': 2 at once" in shown
    assert last_line(shown).endswith("nothing was changed")
    names = [limit["name"] for limit in stack.ask("v2/concurrency_limits/filter", {})]
    assert "tag:gpu:north" not in names


def test_without_a_terminal_it_needs_yes(stack: Stack) -> None:
    done = stack.prefect.cvat_flows("setup", "--gpus", "9", **stack.env)
    assert (done.returncode, "--yes" in done.stderr) == (1, True)


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
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def notifications() -> list[type[NotificationBlock]]:
    """Return Prefect's notification blocks."""
    found = [NotificationBlock]
    for one in found:
        found += one.__subclasses__()
    return [one for one in found if not isabstract(one)]


@pytest.fixture
def inbox() -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """A server that keeps what is posted to it, and its URL."""
    posted: Queue[dict[str, Any]] = Queue()

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", posted
    server.shutdown()
    server.server_close()


def test_a_failed_run_sends_a_notification(
    stack: Stack, project: Any, inbox: tuple[str, Queue[dict[str, Any]]]
) -> None:
    url, posted = inbox
    with stack.prefect.use_here():
        from prefect.blocks.notifications import CustomWebhookNotificationBlock

        block = CustomWebhookNotificationBlock(
            name="on-call", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )
        block.save("on-call", overwrite=True, _sync=True)  # type: ignore[call-arg]
    shown = stack.cvat_flows("setup", "--yes", "--notify", f"{block.get_block_type_slug()}/on-call")
    assert "create automation 'cvat-flows · tell somebody about failed runs'" in shown
    task = stack.task(project, frames=3, jobs=1)
    run = stack.start_run(
        "annotate-task",
        {"task_id": task.id, "function": str(stack.function), "frames": "0-9"},
    )
    state, message = stack.wait_for_run(run)
    assert state == "Failed"
    notification = posted.get(timeout=HANG_TIMEOUT)
    assert message in notification["body"]
    assert f"CVAT task {task.id}" in notification["body"]
    assert f"\n{stack.prefect.url}/runs/flow-run/{run}" in notification["body"]
    assert "Failed" in notification["subject"]
    again = stack.cvat_flows("setup", "--notify", f"{block.get_block_type_slug()}/on-call")
    assert last_line(again) == NOTHING
    missing = stack.prefect.cvat_flows("setup", "--notify", "email/nobody", **stack.env)
    assert (missing.returncode, missing.stdout) == (2, "")
    named = set(re.findall(r"([\w-]+)/on-call", missing.stderr))
    assert named <= {block.get_block_type_slug() for block in notifications()}
    assert "sendgrid-email" in named


def test_a_changed_webhook_is_repaired(stack: Stack, project: Any, tmp_path: Path) -> None:
    url = stack.receiver([stack.rule(project)])
    options = ["--webhook", str(project.id), "--webhook-url", url]
    stack.cvat_flows("setup", "--yes", *options)
    assert last_line(stack.cvat_flows("setup", "--dry-run", *options)) == NOTHING
    # Somebody sets another secret in CVAT and switches the webhook off.
    (hook,) = stack.webhooks(project)
    stack.change_webhook(hook["id"], {"secret": "another secret", "is_active": False})
    shown = stack.cvat_flows("setup", "--dry-run", *options)
    assert f"update CVAT webhook of project {project.id}" in shown
    stack.cvat_flows("setup", "--yes", *options)
    assert last_line(stack.cvat_flows("setup", "--dry-run", *options)) == NOTHING
    stack.change_webhook(hook["id"], {"secret": "another secret"})
    assert "secret" in stack.cvat_flows("setup", "--dry-run", *options)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    stack.cvat_flows("setup", "--yes", *options, "--secret-file", str(secret))
    assert len(stack.webhooks(project)) == 1


@pytest.mark.parametrize(
    ("texts", "gpus"),
    [
        ([], {}),
        ([""], {}),
        (["2"], {"gpu": 2}),
        (["a=1", "b=4"], {"gpu:a": 1, "gpu:b": 4}),
        (["a=1 b=4"], {"gpu:a": 1, "gpu:b": 4}),
    ],
)
def test_gpus(texts: list[str], gpus: dict[str, int]) -> None:
    assert parse_gpus(texts) == gpus


@pytest.mark.parametrize("text", ["0", "x", "a=", "-1", "a=0", "1.5"])
def test_wrong_gpus(text: str) -> None:
    with pytest.raises(SetupError, match=r"--gpus .*: give a number"):
        parse_gpus([text])


def test_differences_and_merging() -> None:
    old = {"a": 1, "b": {"c": 2, "d": 3}, "e": None}
    assert list_differences(old, {"a": 1, "b": {"c": 2}, "e": []}) == []
    assert list_differences(old, {"b": {"c": 5}}) == ["b.c: 2 -> 5"]
    assert merge(old, {"b": {"c": 5}}) == {"a": 1, "b": {"c": 5, "d": 3}, "e": None}


@pytest.mark.parametrize(
    ("schedule", "there", "changed"),
    [
        ({"interval": 3600}, IntervalSchedule(interval=timedelta(hours=1)), None),
        ({"interval": "PT2H"}, IntervalSchedule(interval=timedelta(hours=2)), None),
        ({"interval": 60}, IntervalSchedule(interval=timedelta(hours=1)), "interval"),
        ({"interval": 60}, CronSchedule(cron="0 2 * * *"), "interval"),
        ({"rrule": "FREQ=HOURLY"}, RRuleSchedule(rrule="FREQ=HOURLY"), None),
        ({"cron": "0 3 * * *"}, CronSchedule(cron="0 2 * * *"), "cron"),
    ],
)
@pytest.mark.parametrize("slug", ["mine", None])
def test_diff_of_schedules(
    schedule: dict[str, Any], there: Any, changed: str | None, slug: str | None
) -> None:
    named = schedule if slug is None else {**schedule, "slug": slug}
    server: Any = SimpleNamespace(schedules=[SimpleNamespace(slug=slug, schedule=there)])
    found = diff_schedules([named], server)
    assert [one.partition(":")[0] for one in found] == (
        [f"schedule {slug}.{changed}"] if changed else []
    )
    server.schedules = []
    (missing,) = diff_schedules([named], server)
    assert str(next(iter(schedule.values()))) in missing


def test_every_shipped_deployment_has_a_description() -> None:
    content = yaml.safe_load(FILE.read_text())
    assert [one["name"] for one in content["deployments"]] == [
        "annotate-task",
        "detect-jobs",
        "annotate-new-tasks",
        "maintain",
    ]
    assert all(one["description"] for one in content["deployments"])
