from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.exceptions import BackgroundRequestException
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from PIL import Image
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from aa_functions.identity import name_of_file
from cvat_flows.flows.cli import main
from cvat_flows.flows.in_process import sweep_here
from cvat_flows.flows.prefect_flows import annotate_task_flow
from cvat_flows.flows.sweep import hand_over, listing
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.server_block import CVATServer
from cvat_flows.tasks.cvat.client.settings import command_line_settings, find_settings
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.manifest_summary import write_summary
from cvat_flows.tasks.storage import open_storage
from tests.support.front import Answer, Request, front
from tests.support.identity import task_number

pytestmark = pytest.mark.usefixtures("storage_folder", "prefect_server")


@pytest.fixture
def server(sandbox: Any) -> Iterator[None]:
    settings = ServerSettings(host=sandbox.url, username="admin", password="admin")
    token = command_line_settings.set(settings)
    yield
    command_line_settings.reset(token)


@pytest.fixture
def project(client: Client, server: None) -> Iterator[Any]:
    made = client.projects.create(
        spec=models.ProjectWriteRequest(
            name="cars", labels=[models.PatchedLabelRequest(name="car")]
        )
    )
    yield made
    made.remove()


def run(rule: dict[str, Any], **parameters: Any) -> SweepReport:
    return sweep_here(AnnotateNewTasksParameters(rules=[SweepRule(**rule)], **parameters))


def outcomes(report: SweepReport) -> list[tuple[int, str]]:
    return [(row.task.id, row.outcome) for row in report.rows]


def shapes_of(task: Any) -> list[int]:
    return sorted(shape.frame for shape in task.get_annotations().shapes)


def test_annotates_each_new_task_once(project: Any, make_task: Any, function_file: Path) -> None:
    tasks = [make_task(count=n, project_id=project.id, name=f"drive {n}") for n in (2, 3)]
    rule = {"projects": ["cars"], "function": str(function_file)}
    first = run(rule)
    assert outcomes(first) == [(task.id, "annotated") for task in tasks]
    assert [shapes_of(task) for task in tasks] == [[0, 1], [0, 1, 2]]
    second = run(rule)
    assert (second.rows, second.done) == ([], 2)
    assert [shapes_of(task) for task in tasks] == [[0, 1], [0, 1, 2]]


def test_a_task_that_another_function_annotated_is_not_called_untouched(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=1, project_id=project.id)
    make_task(count=1, project_id=project.id)
    assert run({"projects": ["cars"], "function": str(function_file), "limit": 1}).rows
    other = function_file.with_name("other.py")
    other.write_text(function_file.read_text())
    report = run({"projects": ["cars"], "function": str(other)}, dry_run=True)
    first, second = report.rows
    assert first.task.id == task.id
    assert re.fullmatch(r"annotated by one_\w+\.py@\w{8}, not by this function", first.text)
    assert second.text == "never annotated"


def test_a_failing_task_does_not_stop_the_others(
    project: Any, make_task: Any, function_file: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (13, 20)).save(tmp_path / "unlucky.png")
    bad = make_task(project_id=project.id, images=[tmp_path / "unlucky.png"])
    good = make_task(count=1, project_id=project.id)
    report = run({"projects": [str(project.id)], "function": str(function_file)})
    assert outcomes(report) == [(bad.id, "failed"), (good.id, "annotated")]
    assert report.failed
    assert f"task {bad.id}" in report.sentence
    assert shapes_of(good) == [0]


def test_a_function_that_hangs_is_not_called_for_the_other_tasks(
    project: Any, make_task: Any, tmp_path: Path
) -> None:
    (tmp_path / "hangs.py").write_text(
        "import time\n"
        "import cvat_sdk.auto_annotation as cvataa\n"
        "spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec('car', 0)])\n"
        "def detect(context, image):\n"
        "    time.sleep(300)\n"
    )
    tasks = [make_task(count=9, project_id=project.id) for _ in range(2)]
    rule = {"projects": ["cars"], "function": str(tmp_path / "hangs.py")}
    report = run({**rule, "options": {"detect_timeout": 0.1, "max_failed_frames": 0.9}})
    assert outcomes(report) == [(tasks[0].id, "failed"), (tasks[1].id, "not reached")]
    assert "5 calls of the function in a row took longer than 0.1 s" in report.rows[0].text
    assert report.rows[1].text == "the function hangs"


def test_tasks_without_data_wait_and_failed_imports_are_reported(
    client: Client, project: Any, make_task: Any, function_file: Path, tmp_path: Path
) -> None:
    empty = client.tasks.create(spec=models.TaskWriteRequest(name="to come", project_id=project.id))
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    broken = client.tasks.create(spec=models.TaskWriteRequest(name="broken", project_id=project.id))
    with pytest.raises(BackgroundRequestException):
        broken.upload_data([tmp_path / "broken.png"])
    report = run({"projects": ["cars"], "function": str(function_file)})
    assert (outcomes(report), report.waiting) == ([(broken.id, "import failed")], 1)
    assert "broken.png" in report.rows[0].text
    assert not report.failed
    assert f"task {broken.id} broken" in report.sentence
    empty.upload_data([make_image(tmp_path)])
    later = run({"projects": ["cars"], "function": str(function_file)})
    assert outcomes(later) == [(broken.id, "import failed"), (empty.id, "annotated")]


def make_image(folder: Path) -> Path:
    path = folder / "late.png"
    Image.new("RGB", (30, 20)).save(path)
    return path


def test_conditions_select_tasks(
    client: Client, project: Any, make_task: Any, function_file: Path
) -> None:
    north = make_task(count=1, project_id=project.id, name="Drive north", subset="Train")
    south = make_task(count=1, project_id=project.id, name="drive south", subset="Test")
    alone = make_task(count=1, labels=["car", "lane"], name="drive alone")
    truck = make_task(count=1, labels=["truck"], name="drive with trucks")

    def found(**rule: Any) -> set[int]:
        report = run({"function": str(function_file), **rule}, dry_run=True)
        # other tests leave tasks on the same CVAT, one of them with a failed import
        ids = {north.id, south.id, alone.id, truck.id}
        ours = [row for row in report.rows if row.task.id in ids]
        assert {row.outcome for row in ours} <= {"would be annotated"}
        return {row.task.id for row in ours}

    assert found(projects=["cars"]) == {north.id, south.id}
    assert found(projects=["nothing of this name"]) == set()
    assert found(task_name="drive ?ORTH") == {north.id}
    assert found(task_name="drive*") == {north.id, south.id, alone.id, truck.id}
    assert found(subsets=["Train"]) == {north.id}
    assert found(labels=["car"]) == {north.id, south.id, alone.id}
    assert found(labels=["car", "lane"]) == {alone.id}
    assert found(statuses=["completed"]) == set()
    assert found(assignees=["nobody"]) == set()
    assert found(filter='{"==": [{"var": "subset"}, "Test"]}') == {south.id}
    assert shapes_of(north) == []
    client.tasks.retrieve(north.id).update({"assignee_id": 1})
    assert found(assignees=["admin"]) == {north.id}


def test_frames_with_a_visible_track_are_left_out(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=4, project_id=project.id)
    (label,) = (label.id for label in task.get_labels())
    keyframes = [
        models.TrackedShapeRequest(
            frame=frame, type="rectangle", points=[1.0, 1.0, 9.0, 9.0], outside=frame == 3
        )
        for frame in (1, 3)
    ]
    track = models.LabeledTrackRequest(frame=1, label_id=label, shapes=keyframes)
    task.set_annotations(models.LabeledDataRequest(tracks=[track]))
    rule = {"projects": ["cars"], "function": str(function_file)}
    assert outcomes(run(rule)) == [(task.id, "annotated")]
    assert shapes_of(task) == [0, 3]
    assert run(rule).done == 1


def test_order_and_limits(project: Any, make_task: Any, function_file: Path) -> None:
    ids = [make_task(count=1, project_id=project.id).id for _ in range(3)]
    rule = {"projects": ["cars"], "function": str(function_file)}
    newest = run({**rule, "order": "newest", "limit": 2}, dry_run=True)
    assert outcomes(newest) == [
        (ids[0], "beyond the limit"),
        (ids[2], "would be annotated"),
        (ids[1], "would be annotated"),
    ]
    assert outcomes(run(rule, limit=1))[-1] == (ids[0], "annotated")
    assert outcomes(run(rule, limit=1))[-1] == (ids[1], "annotated")


def test_only_the_named_tasks_are_looked_at_whatever_the_limits_of_rules(
    project: Any, make_task: Any, function_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_IDS_PER_REQUEST", 2)
    ids = [make_task(count=1, project_id=project.id).id for _ in range(5)]
    named = [ids[4], ids[0], ids[2], 999_999]
    rule = {"projects": ["cars"], "function": str(function_file), "limit": 1}

    def found(**more: Any) -> list[int]:
        return [row.task.id for row in run({**rule, **more}, task_ids=named, dry_run=True).rows]

    assert found() == [ids[0], ids[2], ids[4]]
    assert found(order="newest") == [ids[4], ids[2], ids[0]]
    report = run(rule, task_ids=named, limit=2)
    assert outcomes(report) == [
        (ids[4], "beyond the limit"),
        (ids[0], "annotated"),
        (ids[2], "annotated"),
    ]
    assert report.sentence.endswith("1 not covered by a rule")
    assert (
        run(rule, task_ids=named).sentence == "1 annotated, 2 done before, 1 not covered by a rule"
    )
    # Without names all tasks count, and the rule's limit.
    assert [row.outcome for row in run(rule, dry_run=True).rows] == [
        "beyond the limit",
        "would be annotated",
    ]


def test_named_tasks_load_only_the_functions_that_they_need(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=1, project_id=project.id)
    rules = [
        SweepRule(projects=["none like this"], function="no_such_module"),
        SweepRule(projects=["cars"], function=str(function_file)),
    ]
    report = sweep_here(AnnotateNewTasksParameters(rules=rules, task_ids=[task.id]))
    assert (outcomes(report), report.rule_errors) == ([(task.id, "annotated")], [])
    assert sweep_here(AnnotateNewTasksParameters(rules=rules)).rule_errors


def test_named_tasks_without_data_wait(
    project: Any, client: Client, make_task: Any, function_file: Path
) -> None:
    task = client.tasks.create({"name": "later", "project_id": project.id})
    rule = {"projects": ["cars"], "function": str(function_file)}
    assert run(rule, task_ids=[task.id]).sentence == "nothing new: 1 without data yet"


def test_the_first_rule_that_fits_applies(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=1, project_id=project.id, name="drive")
    rules = [
        SweepRule(name="none", task_name="walk", function=str(function_file)),
        SweepRule(name="first", projects=["cars"], function=str(function_file)),
        SweepRule(name="second", projects=["cars"], function=str(function_file)),
    ]
    report = sweep_here(AnnotateNewTasksParameters(rules=rules))
    assert [(row.task.id, row.rule) for row in report.rows] == [(task.id, "first")]


def test_a_broken_rule_does_not_stop_the_others(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=1, project_id=project.id)
    rules = [
        SweepRule(name="gone", function="no.such.module"),
        SweepRule(name="odd", filter='{"==": [{"var": "size"}, 3]}', function=str(function_file)),
        SweepRule(name="fine", projects=["cars"], function=str(function_file)),
    ]
    report = sweep_here(AnnotateNewTasksParameters(rules=rules))
    assert outcomes(report) == [(task.id, "annotated")]
    assert [error.split(":")[0] for error in report.rule_errors] == ["rule gone", "rule odd"]
    assert report.failed


def test_a_changed_function_annotates_again_if_the_rule_says_so(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=2, project_id=project.id)
    rule = {"projects": ["cars"], "function": str(function_file), "only_unannotated": False}
    run(rule)
    function_file.write_text(function_file.read_text().replace("[1, 1,", "[2, 2,"))
    assert run(rule).done == 1
    again = {**rule, "again_when": ["function"], "options": {"existing": "replace"}}
    assert outcomes(run(again)) == [(task.id, "annotated")]
    assert [shape.points[0] for shape in task.get_annotations().shapes] == [2.0, 2.0]
    assert run(again).done == 1


def test_a_changed_function_renews_only_its_own_frames_and_only_once(
    project: Any, make_task: Any, function_file: Path
) -> None:
    task = make_task(count=4, project_id=project.id)
    label = task.get_labels()[0].id
    person = models.LabeledShapeRequest(
        type="rectangle", frame=0, label_id=label, points=[5, 5, 9, 9], source="manual"
    )
    task.update_annotations(
        models.PatchedLabeledDataRequest(shapes=[person]), action=AnnotationUpdateAction.CREATE
    )
    rule = {"projects": ["cars"], "function": str(function_file), "again_when": ["function"]}
    rule["options"] = {"existing": "replace"}
    assert outcomes(run(rule)) == [(task.id, "annotated")]
    assert run(rule).done == 1

    function_file.write_text(function_file.read_text().replace("[1, 1,", "[2, 2,"))
    task.remove_frames_by_ids([3])
    report = run(rule)
    assert outcomes(report) == [(task.id, "annotated")]
    assert report.rows[0].text.startswith("2 of 2 frames annotated")
    shapes = {shape.frame: shape.points[0] for shape in task.get_annotations().shapes}
    assert {frame: shapes[frame] for frame in range(3)} == {0: 5.0, 1: 2.0, 2: 2.0}
    assert run(rule).done == 1


def test_each_sweep_retries_only_failed_frames(
    project: Any, make_task: Any, function_file: Path, tmp_path: Path
) -> None:
    images = [tmp_path / f"{n:02}.png" for n in range(12)]
    for n, path in enumerate(images):
        Image.new("RGB", (13 if n == 5 else 30, 20)).save(path)
    task = make_task(project_id=project.id, images=images)
    rule = {"projects": ["cars"], "function": str(function_file)}
    for result in ("11 of 12 frames annotated", *["0 of 1 frame annotated, 11 skipped"] * 2):
        report = run(rule)
        assert outcomes(report) == [(task.id, "failed")]
        assert report.rows[0].text.startswith(result)
    # The fourth one reports the frame, but neither tries it nor wakes anybody up.
    report = run(rule)
    assert outcomes(report) == [(task.id, "set aside")]
    assert "1 frame failed 3 times in the same way" in report.rows[0].text
    assert report.sentence == "1 set aside"
    assert not report.failed
    # A new version of the function does not count: the rule does not say `function`.
    function_file.write_text(function_file.read_text().replace("[1, 1,", "[2, 2,"))
    assert outcomes(run(rule)) == [(task.id, "failed")]
    assert {shape.points[0] for shape in task.get_annotations().shapes} == {1.0}


class Deployment:
    """The deployment annotate-task/annotate-task, without a worker."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.client = client
        self.id = client.create_deployment(
            flow_id=client.create_flow(annotate_task_flow), name="annotate-task"
        )

    def runs(self, task_id: int) -> list[FlowRun]:
        """Return the runs of a CVAT task, oldest first."""
        runs = self.client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self.id])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )
        return [run for run in runs if run.parameters["task_id"] == task_id]

    def start(self, state: State[Any], **parameters: Any) -> UUID:
        made = self.client.create_flow_run_from_deployment(self.id, parameters=parameters)
        self.end(made.id, state)
        return made.id

    def end(self, run_id: UUID, state: State[Any]) -> None:
        self.client.set_flow_run_state(run_id, state, force=True)

    def state_of(self, run_id: UUID) -> str:
        state = self.client.read_flow_run(run_id).state
        assert state is not None
        return state.name


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with get_client(sync_client=True) as client:
        yield Deployment(client)


def test_a_task_gets_a_new_run_if_its_run_failed(
    project: Any, make_task: Any, function_file: Path, deployment: Deployment
) -> None:
    task, other = (make_task(count=1, project_id=project.id) for _ in range(2))
    rule = {"projects": ["cars"], "function": str(function_file)}

    def sweep() -> list[str]:
        report = run(rule, run_in="deployment")
        return [row.outcome for row in report.rows if row.task.id == task.id]

    assert sweep() == ["handed over"]
    for attempt, state in enumerate([Failed(), Crashed(), Cancelled()], 1):
        assert sweep() == ["under way"]
        assert len(deployment.runs(task.id)) == attempt
        deployment.end(deployment.runs(task.id)[-1].id, state)
        assert sweep() == ["handed over"]
        assert len(deployment.runs(task.id)) == attempt + 1
    # The manifest decides whether anything is left to do. The same run is started once a day.
    deployment.end(deployment.runs(task.id)[-1].id, Completed())
    assert sweep() == ["not repeated"]
    assert len(deployment.runs(task.id)) == 4
    assert len(deployment.runs(other.id)) == 1


def look_at_requests(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[str, dict[str, Any]], None]
) -> None:
    """Call `look` with the path and the options of each request to Prefect; it may change them."""
    send = SyncPrefectClient.request

    def request(self: SyncPrefectClient, method: Any, path: Any, *args: Any, **kw: Any) -> Any:
        look(path, kw)
        return send(self, method, path, *args, **kw)

    monkeypatch.setattr(SyncPrefectClient, "request", request)


def test_one_request_reads_the_runs_of_all_tasks(
    project: Any,
    make_task: Any,
    function_file: Path,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    look_at_requests(monkeypatch, lambda path, _: asked.append(path))
    for _ in range(4):
        make_task(count=1, project_id=project.id)
    report = run({"projects": ["cars"], "function": str(function_file)}, run_in="deployment")
    assert len(report.of("handed over")) == 4
    # Two for the runs before, and one for those that have failed at the end.
    assert asked.count("/flow_runs/filter") == 3


def test_a_run_that_prefect_refuses_does_not_stop_the_others(
    project: Any,
    make_task: Any,
    function_file: Path,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = (make_task(count=1, project_id=project.id) for _ in range(2))

    def spoil(path: str, options: dict[str, Any]) -> None:
        if path.endswith("/create_flow_run"):
            wanted = options["json"]["parameters"]
            if wanted["task_id"] == bad.id:
                options["json"] = {**options["json"], "parameters": "what the server refuses"}

    look_at_requests(monkeypatch, spoil)
    report = run({"projects": ["cars"], "function": str(function_file)}, run_in="deployment")
    assert outcomes(report) == [(bad.id, "failed"), (good.id, "handed over")]
    assert "422" in report.rows[0].text
    assert report.failed
    assert len(deployment.runs(good.id)) == 1


def test_a_run_without_a_lease_is_dead_only_if_it_must_have_one(
    project: Any,
    make_task: Any,
    function_file: Path,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, other = (make_task(count=1, project_id=project.id) for _ in range(2))
    monkeypatch.setattr(hand_over, "STARTUP_GRACE", timedelta())
    dead = deployment.start(Running(), task_id=task.id)
    dry = deployment.start(Running(), task_id=task.id, dry_run=True)
    elsewhere = deployment.start(Running(), task_id=other.id, server="another")
    report = run({"projects": ["cars"], "function": str(function_file)}, run_in="deployment")
    assert outcomes(report) == [(task.id, "handed over"), (other.id, "under way")]
    states = [deployment.state_of(one) for one in (dead, dry, elsewhere)]
    assert states == ["Crashed", "Running", "Running"]


def test_equal_ids_on_two_cvat_servers_are_different_tasks(
    project: Any, make_task: Any, function_file: Path, deployment: Deployment
) -> None:
    first, second, third = (make_task(count=1, project_id=project.id) for _ in range(3))
    here = find_settings().host
    addresses = {
        "north": "http://north.invalid",
        "here": f"{here}/",
        "alias": here.replace("127.0.0.1", "localhost"),
    }
    for name, host in addresses.items():
        CVATServer(host=host, username="admin", password="admin").save(name, _sync=True)
    deployment.start(Running(), task_id=first.id, server="north")
    deployment.start(Running(), task_id=second.id, server="here")
    deployment.start(Running(), task_id=third.id, server="alias")
    report = run({"projects": ["cars"], "function": str(function_file)}, run_in="deployment")
    assert outcomes(report) == [
        (first.id, "handed over"),
        (second.id, "under way"),
        (third.id, "under way"),
    ]


@pytest.mark.parametrize(("is_away", "outcome"), [(True, "handed over"), (False, "under way")])
def test_a_sweep_logs_in_once_to_another_address(
    sandbox: Any,
    project: Any,
    make_task: Any,
    function_file: Path,
    deployment: Deployment,
    is_away: bool,
    outcome: str,
) -> None:
    asked: Counter[str] = Counter()

    def change(request: Request, ask: Callable[[], Answer]) -> Answer:
        asked[request.path] += 1
        return Answer(status=404) if is_away else ask()

    tasks = [make_task(count=1, project_id=project.id) for _ in range(3)]
    with front(sandbox.url, change) as url:
        CVATServer(host=url, username="admin", password="admin").save(
            "other", overwrite=True, _sync=True
        )
        for task in tasks:
            deployment.start(Running(), task_id=task.id, server="other")
        report = run({"projects": ["cars"], "function": str(function_file)}, run_in="deployment")
    assert outcomes(report) == [(task.id, outcome) for task in tasks]
    logins = [count for path, count in asked.items() if "/api/tasks" not in path]
    assert set(logins) == {1}, asked


def test_the_command_line(
    project: Any,
    make_task: Any,
    function_file: Path,
    capsys: pytest.CaptureFixture[str],
    sandbox: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"HOST": sandbox.url, "USER": "admin", "PASSWORD": "admin"}.items():
        monkeypatch.setenv(f"CVAT_{name}", value)
    task = make_task(count=1, project_id=project.id)
    options = ["--projects", "cars", "--function-file", str(function_file)]
    assert main(["annotate-new", *options]) == 0
    assert "1 annotated" in capsys.readouterr().out
    assert shapes_of(task) == [0]
    assert main(["annotate-new", *options]) == 0
    assert "nothing new: 1 done before" in capsys.readouterr().out
    assert main(["annotate-new"]) == 2
    assert "select CVAT tasks with --rules FILE" in capsys.readouterr().err
    assert main(["annotate-new", "--rules", "no-such-file.yaml"]) == 2


class _Cvat(BaseHTTPRequestHandler):
    """Answers the requests of a sweep and records them."""

    tasks: int
    asked: list[str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.asked.append(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/api/tasks":
            self._answer(self._page(query))
        elif url.path == "/api/users/self":
            self._answer({"id": 1, "username": "admin"})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"key": "k"})

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        page, size = int(query["page"]), int(query["page_size"])
        rows = [
            {
                "id": n,
                "name": f"task {n}",
                "size": 200,
                "data_chunk_size": 36,
                "dimension": "2d",
                "project_id": 1,
                "created_date": "2026-01-01T00:00:00Z",
                "updated_date": "2026-11-22T00:00:00Z",
            }
            for n in range(1, self.tasks + 1)[(page - 1) * size : page * size]
        ]
        more = page * size < self.tasks
        return {"count": self.tasks, "next": "yes" if more else None, "results": rows}

    def _answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.cvat+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_a_thousand_finished_tasks_need_few_requests(
    function_file: Path, storage_folder: Path
) -> None:
    handler = type("Handler", (_Cvat,), {"tasks": 1000, "asked": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{http.server_port}"
    token = command_line_settings.set(ServerSettings(host=host, access_token="t"))
    storage = open_storage()
    for task_id in range(1, 1001):
        manifest = Manifest(
            storage,
            task=task_number(task_id),
            function=name_of_file(function_file),
            run=RunStamp(id="r", fingerprint="f", parameters="p"),
        )
        write_summary(manifest, frames=200, task_updated=manifest.task.created, skipped=200)
    try:
        started = time.process_time()  # This process also plays CVAT.
        report = run({"projects": ["cars"], "function": str(function_file)})
        took = time.process_time() - started
    finally:
        command_line_settings.reset(token)
        http.shutdown()
        http.server_close()
    assert (report.done, report.rows) == (1000, [])
    assert len(handler.asked) <= 20
    assert took < 5
