"""An installation on one machine: SQLite, one Prefect server, one worker."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx

from cvat_flows.deployments.webhook.delivery import SIGNATURE_HEADER, sign
from tests.support.stack import SECRET, Stack
from tests.support.waiting import wait_until


def test_a_webhook_starts_one_run(stack: Stack, project: Any) -> None:
    url = stack.receiver([stack.rule(project, options={"frames_per_run": 2})])
    shown = stack.cvat_flows("setup", "--yes", "--webhook", project.name, "--webhook-url", url)
    assert f"create CVAT webhook of project {project.id}" in shown
    before = len(stack.runs("annotate-task"))
    tasks = [stack.task(project), stack.task(project, frames=3, jobs=1)]
    stack.wait_for(tasks)
    runs = stack.runs("annotate-task")[before:]
    # Uploads make CVAT deliver `update:task`, too. That starts no further run.
    assert sorted(run["parameters"]["parameters"]["task_id"] for run in runs) == [
        task.id for task in tasks
    ]
    assert [stack.wait_for_run(run["id"])[0] for run in runs] == ["Completed"] * 2
    again = stack.cvat_flows("setup", "--yes", "--webhook", project.name, "--webhook-url", url)
    assert again.splitlines()[-1] == "nothing to change"


def test_repeated_deliveries_to_several_receivers_start_one_run(stack: Stack, project: Any) -> None:
    rule = stack.rule(project, function_parameters={"seconds": 1.5})
    task = stack.task(project, frames=12, jobs=1)
    delivery = {"event": "update:task", "task": {"id": task.id, "size": 12}}
    body = json.dumps(delivery).encode()

    def deliver(url: str) -> str:
        headers = {SIGNATURE_HEADER: sign(body, SECRET.encode())}
        answer = httpx.post(url, content=body, headers=headers, timeout=15)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["result"])

    def runs() -> list[dict[str, Any]]:
        found = stack.runs("annotate-task")
        return [run for run in found if run["parameters"]["parameters"]["task_id"] == task.id]

    # Two receivers that share nothing. For the second one, the run may exist already.
    urls = [stack.receiver([rule]) for _ in range(2)]
    first, second, *repeated = [deliver(url) for url in urls * 2]
    assert (first, repeated) == ("announced", ["known"] * 2)
    assert second in ("announced", "nothing to do")
    # If it does not exist yet, the second receiver sends the same event again.
    sent = wait_until(
        lambda: stack.events("cvat.task.ready", task.id), what="the event is recorded"
    )
    stack.ask("events", sent)
    wait_until(runs, what="the run exists")
    restarted = stack.receiver([rule])
    assert [deliver(restarted) for _ in range(2)] == ["nothing to do", "known"]
    assert stack.wait_for_run(runs()[0]["id"])[0] == "Completed"
    assert stack.is_annotated(task)
    assert deliver(stack.receiver([rule])) == "nothing to do"
    assert len(runs()) == 1


def test_the_sweep_hands_new_tasks_over_once(stack: Stack, project: Any) -> None:
    before = len(stack.runs("annotate-task"))
    tasks = [stack.task(project), stack.task(project)]
    parameters = {"rules": [stack.rule(project)], "run_in": "deployment"}
    state, message = stack.wait_for_run(stack.start_run("annotate-new-tasks", parameters))
    assert (state, message) == ("Completed", "2 handed over")
    stack.wait_for(tasks)
    for run in stack.runs("annotate-task")[before:]:
        stack.wait_for_run(run["id"])
    state, message = stack.wait_for_run(stack.start_run("annotate-new-tasks", parameters))
    assert (state, message) == ("Completed", "nothing new: 2 done before")
    assert len(stack.runs("annotate-task")) == before + 2


def test_a_split_task_is_annotated_by_several_runs(stack: Stack, project: Any) -> None:
    task = stack.task(project, frames=32, jobs=4)
    state, message = stack.wait_for_run(
        stack.start_run(
            "annotate-task",
            {
                "task_id": task.id,
                "function": str(stack.function),
                # Detection begins when both runs have started.
                "function_parameters": {"seconds": 0.25, "meet_in": str(stack.folder / "met")},
                "frames_per_run": 4,
                "split": "jobs",
                "split_runs": 1,
            },
        ),
    )
    assert (state, message) == ("Completed", "32 of 32 frames annotated")
    assert stack.is_annotated(task)
    (helper,) = stack.runs("detect-jobs")
    assert len(helper["parameters"]["parameters"]["task"]["jobs"]) == 2
    assert stack.wait_for_run(helper["id"])[0] == "Completed"
    (run,) = [
        run
        for run in stack.runs("annotate-task")
        if run["parameters"]["parameters"]["task_id"] == task.id
    ]
    names = [one["name"].split(" ")[0] for one in stack.model_runs([run["id"]], count=16)]
    assert names.count("cached") >= 2, Counter(names)


def test_cached_detections_need_no_gpu_slot(stack: Stack, project: Any) -> None:
    task = stack.task(project, frames=32, jobs=1)
    dry = {"task_id": task.id, "function": str(stack.function), "dry_run": True}
    assert stack.wait_for_run(stack.start_run("annotate-task", dry))[0] == "Completed"
    again = stack.start_run("annotate-task", dry)
    assert stack.wait_for_run(again)[0] == "Completed"
    runs = stack.model_runs([again], count=16)
    assert [run["name"].split(" ")[0] for run in runs] == ["cached"] * 16
    assert not [run for run in runs if "gpu" in run["tags"]]


def test_sweeps_do_not_overlap(stack: Stack, project: Any) -> None:
    task = stack.task(project, frames=12, jobs=1)
    # The first sweep runs until the second one has ended.
    second_ended = stack.folder / "second-sweep-ended"
    slow = stack.rule(project, function_parameters={"wait_for": str(second_ended)})
    first = stack.start_run("annotate-new-tasks", {"rules": [slow], "run_in": "process"})
    wait_until(lambda: stack.state_of(first)[0] == "Running", what="the first sweep runs")
    second = stack.start_run("annotate-new-tasks", {"rules": [slow], "run_in": "process"})
    try:
        assert stack.wait_for_run(second)[0] == "Cancelled"
    finally:
        second_ended.touch()
    assert stack.wait_for_run(first)[0] == "Completed"
    assert stack.is_annotated(task)


def test_two_flows_share_the_gpu_limit(stack: Stack, project: Any) -> None:
    stack.cvat_flows("setup", "--yes", "--gpus", "1")
    tasks = [stack.task(project, frames=8, jobs=1) for _ in range(2)]
    options = {
        "function": str(stack.function),
        "function_parameters": {"seconds": 0.2},
        "frames_per_run": 2,
    }
    runs = [stack.start_run("annotate-task", {"task_id": t.id, **options}) for t in tasks]
    assert [stack.wait_for_run(run)[0] for run in runs] == ["Completed"] * 2
    stack.cvat_flows("setup", "--yes", "--gpus", "2")
    detected = stack.model_runs(runs, count=8)
    assert [run["tags"] for run in detected] == [["gpu"]] * 8
    spans = sorted((moment(run["start_time"]), moment(run["end_time"])) for run in detected)
    assert {run["flow_run_id"] for run in detected} == set(runs)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_nightly_runs_are_scheduled(stack: Stack) -> None:
    def start_times(deployment: str) -> list[str]:
        runs = stack.ask(
            "flow_runs/filter", {"deployments": {"name": {"any_": [deployment]}}, "limit": 200}
        )
        return [run["expected_start_time"][11:16] for run in runs if run["auto_scheduled"]]

    wait_until(lambda: start_times("annotate-new-tasks"), what="a nightly run is scheduled")
    assert set(start_times("annotate-new-tasks")) == {"02:00"}
    assert set(start_times("maintain")) == {"04:00"}


def test_maintenance_runs(stack: Stack) -> None:
    state, message = stack.wait_for_run(stack.start_run("maintain", {}))
    assert state == "Completed"
    assert "files deleted" in message
