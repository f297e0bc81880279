"""An installation on one machine: SQLite, one Prefect server, one worker."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED
from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_a_webhook_starts_one_run(stack: Stack, project: Any) -> None:
    stack.set_rules(stack.rule(project, options={"frames_per_run": 2}))
    url = stack.receiver().url
    shown = stack.cvat_flows("setup", "--yes", "--webhook", project.name, "--webhook-url", url)
    assert f"create CVAT webhook of project {project.id}" in shown
    assert stack.webhooks(project)[0]["events"] == [IMPORT_COMPLETED]
    before = len(stack.runs("annotate-task"))
    tasks = [stack.task(project), stack.task(project, frames=3, jobs=1)]
    stack.wait_for(tasks)
    runs = stack.runs("annotate-task")[before:]
    # Uploads make CVAT deliver `update:task`, too. That starts no further run.
    assert sorted(run["parameters"]["task_id"] for run in runs) == [task.id for task in tasks]
    assert [stack.wait_for_run(run["id"])[0] for run in runs] == ["Completed"] * 2
    again = stack.cvat_flows("setup", "--yes", "--webhook", project.name, "--webhook-url", url)
    assert again.splitlines()[-1] == "nothing to change"


def test_a_changed_rules_file_needs_no_restart(stack: Stack, project: Any) -> None:
    stack.set_rules(stack.rule(project, task_name="none like this"))
    receiver = stack.receiver("--wait", "0.2")
    stack.register_webhook(project, receiver.url, TASK_UPDATED)
    before = len(sweeps_of(stack))
    first = stack.task(project)
    wait_until(lambda: len(sweeps_of(stack)) > before, what="a sweep is started")
    for run in sweeps_of(stack)[before:]:
        state, message = stack.wait_for_run(run["id"])
        assert (state, message) == ("Completed", "nothing new: 1 not covered by a rule")
    stack.set_rules(stack.rule(project))
    second = stack.task(project)
    stack.wait_for([second])
    assert not stack.is_annotated(first)
    # A person renames the task that no rule fitted: it is asked for again.
    first.update({"name": "drive again"})
    stack.wait_for([first])


def test_repeated_deliveries_to_several_receivers_start_one_run(stack: Stack, project: Any) -> None:
    stack.set_rules(stack.rule(project, function_parameters={"seconds": 1.5}))
    task = stack.task(project, frames=12, jobs=1)
    delivery = {"event": TASK_UPDATED, "task": {"id": task.id, "size": 12}}
    before = len(sweeps_of(stack))
    # Receivers that share nothing, and one sweep more by hand. One of them comes late.
    receivers = [stack.receiver("--wait", "0") for _ in range(2)]
    for receiver in receivers * 2:
        assert receiver.deliver(delivery)[0] == 200
    stack.start_run(
        "annotate-new-tasks", {"run_in": "deployment", "task_ids": [task.id], "limit": 1}
    )
    stack.wait_for([task])
    stack.receiver("--wait", "0").deliver(delivery)
    wait_until(lambda: len(sweeps_of(stack)) == before + 4, what="four sweeps are started")
    ends = [stack.wait_for_run(run["id"]) for run in sweeps_of(stack)[before:]]
    assert {state for state, _ in ends} == {"Completed"}
    assert Counter(message for _, message in ends)["nothing new: 1 done before"] >= 1
    (run,) = [run for run in stack.runs("annotate-task") if run["parameters"]["task_id"] == task.id]
    assert stack.wait_for_run(run["id"])[0] == "Completed"
    assert stack.is_annotated(task)


def sweeps_of(stack: Stack) -> list[dict[str, Any]]:
    """Return the sweeps that were started, oldest first, whether they run or wait."""
    runs = stack.ask(
        "flow_runs/filter", {"deployments": {"name": {"any_": ["annotate-new-tasks"]}}}
    )
    started = [run for run in runs if not run["auto_scheduled"]]
    return sorted(started, key=lambda run: str(run["created"]))


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
    (run,) = [run for run in stack.runs("annotate-task") if run["parameters"]["task_id"] == task.id]
    states = [one["state"]["name"] for one in stack.model_runs([run["id"]], count=16)]
    assert states.count("Cached") >= 2, Counter(states)


def test_cached_detections_need_no_gpu_slot(stack: Stack, project: Any) -> None:
    task = stack.task(project, frames=32, jobs=1)
    dry = {"task_id": task.id, "function": str(stack.function), "dry_run": True}
    assert stack.wait_for_run(stack.start_run("annotate-task", dry))[0] == "Completed"
    again = stack.start_run("annotate-task", dry)
    assert stack.wait_for_run(again)[0] == "Completed"
    runs = stack.model_runs([again], count=16)
    assert [run["state"]["name"] for run in runs] == ["Cached"] * 16
    assert not [run for run in runs if "gpu" in run["tags"]]


def test_a_sweep_waits_for_the_one_before_it(stack: Stack, project: Any) -> None:
    task = stack.task(project, frames=12, jobs=1)
    # The first sweep runs until the second one waits.
    second_waits = stack.folder / "second-sweep-waits"
    slow = stack.rule(project, function_parameters={"wait_for": str(second_waits)})
    first = stack.start_run("annotate-new-tasks", {"rules": [slow], "run_in": "process"})
    wait_until(lambda: stack.state_of(first)[0] == "Running", what="the first sweep runs")
    second = stack.start_run(
        "annotate-new-tasks", {"rules": [slow], "run_in": "process", "task_ids": [task.id]}
    )
    try:
        wait_until(
            lambda: stack.state_of(second)[0] == "AwaitingConcurrencySlot",
            what="the second sweep waits",
        )
    finally:
        second_waits.touch()
    assert stack.wait_for_run(first)[0] == "Completed"
    assert stack.wait_for_run(second) == ("Completed", "nothing new: 1 done before")
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
