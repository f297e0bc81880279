"""A user to whom a job is assigned, but not its task, annotates the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, Config, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.finished import Finished
from cvat_flows.flows.in_process import run_in_threads
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.cvat.access import OneJobAtATime, read_media
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job import NotWritable
from cvat_flows.tasks.record.lease import TaskIsBusy, task_lease
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.record.single_jobs import TwoRecords
from cvat_flows.tasks.storage import open_storage
from tests.flows.conftest import frames_of
from tests.tasks.fetch.film import film

MakeTask = Callable[..., Any]
Annotate = Callable[..., Finished]


@pytest.fixture(scope="module")
def worker(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    config = Config(cache_dir=tmp_path_factory.mktemp("sdk-cache"))
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(("worker", "worker"))
        yield client


@pytest.fixture
def as_worker(worker: Client, function_file: Path, storage_folder: Path) -> Annotate:
    def run(task: Any, **options: Any) -> Finished:
        parameters = AnnotateTaskParameters(
            task_id=task.id, function=str(function_file), frames_per_run=2, **options
        )
        return run_in_threads(parameters, LiveInputs(client=worker))

    return run


def assigned(task: Any, worker: Client, *indices: int) -> list[int]:
    """Assign jobs of a task to the worker and return the ids of all its jobs, in order."""
    jobs = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    (user, _) = worker.api_client.users_api.retrieve_self()
    for index in indices:
        jobs[index].update({"assignee": user.id})
    return [job.id for job in jobs]


@pytest.fixture
def task(make_task: MakeTask) -> Any:
    """Jobs of the frames 0-4, 5-9 and 10-11, in chunks that do not end with them."""
    return make_task(12, segment_size=5, data={"chunk_size": 3})


def test_the_job_is_annotated_and_nothing_else(
    task: Any, worker: Client, as_worker: Annotate, sandbox: SandboxProcess
) -> None:
    jobs = assigned(task, worker, 1)
    sandbox.reset_request_counts()
    run = as_worker(task, jobs=[jobs[1]])
    assert run.error is None
    assert frames_of(task) == [5, 6, 7, 8, 9]
    assert (run.report.count("annotated"), run.report.not_selected) == (5, 0)
    counts = sandbox.request_counts()
    assert any("/api/jobs/{id}/data?type=chunk" in path for path in counts)
    # The names are those of the task's frames 5 to 9.
    assert [row.name for row in run.report.rows.values()] == [
        f"img_{n:04d}.jpg" for n in range(5, 10)
    ]


def test_the_next_run_does_only_what_is_missing(
    task: Any, worker: Client, as_worker: Annotate
) -> None:
    jobs = assigned(task, worker, 1)
    as_worker(task, jobs=[jobs[1]], frames="6-7")
    again = as_worker(task, jobs=[jobs[1]])
    assert again.report.count("annotated") == 3
    assert frames_of(task) == [5, 6, 7, 8, 9]


def test_a_video(make_task: MakeTask, worker: Client, as_worker: Annotate, tmp_path: Path) -> None:
    task = make_task(
        images=[film(tmp_path / "clip.mp4", 14)], segment_size=6, overlap=0, data={"chunk_size": 4}
    )
    jobs = assigned(task, worker, 1)
    run = as_worker(task, jobs=[jobs[1]])
    assert run.error is None
    assert frames_of(task) == list(range(6, 12))


def test_what_is_not_possible(task: Any, worker: Client, as_worker: Annotate) -> None:
    jobs = assigned(task, worker, 0, 1)
    with pytest.raises(CvatRefused, match=r"no permission .* name the job: --jobs ID"):
        raise as_worker(task).error
    with pytest.raises(OneJobAtATime, match="annotate them one at a time"):
        raise as_worker(task, jobs=jobs[:2]).error
    with pytest.raises(CvatRefused, match=f"job {jobs[2]}: .* no permission"):
        raise as_worker(task, jobs=[jobs[2]]).error


def test_a_ground_truth_job_needs_the_task(task: Any, client: Client, worker: Client) -> None:
    (user, _) = worker.api_client.users_api.retrieve_self()
    client.jobs.api.create(
        models.JobWriteRequest(
            type="ground_truth", task_id=task.id, frame_selection_method="manual", frames=[1, 2]
        )
    )
    (truth,) = [job for job in task.get_jobs() if job.type == "ground_truth"]
    truth.update({"assignee": user.id})
    with pytest.raises(NotWritable, match="holds the ground truth"):
        read_media(worker, task.id, [truth.id])


def test_commands_read_the_record_of_the_job(
    task: Any,
    worker: Client,
    as_worker: Annotate,
    function_file: Path,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (("HOST", sandbox.url), ("USER", "worker"), ("PASSWORD", "worker")):
        monkeypatch.setenv(f"CVAT_{name}", value)
    jobs = assigned(task, worker, 1)
    assert main(["undo", str(task.id), "--yes"]) == 3  # nothing that this user may use
    as_worker(task, jobs=[jobs[1]])
    assert main(["manifest", str(task.id)]) == 0
    assert f"job {jobs[1]} alone" in capsys.readouterr().out
    call = ["match", str(task.id), "--jobs", str(jobs[1]), "-f", str(function_file)]
    assert main(call) == 0
    assert main(["undo", str(task.id), "--yes"]) == 0
    assert frames_of(task) == []


def test_one_job_has_one_record(
    task: Any, client: Client, worker: Client, as_worker: Annotate, annotate: Annotate
) -> None:
    """Otherwise a run with the other record would upload everything again."""
    jobs = assigned(task, worker, 0, 1)
    as_worker(task, jobs=[jobs[0]])
    with pytest.raises(TwoRecords, match=rf"job {jobs[0]} .* `cvat-flows undo {task.id}` first"):
        raise annotate(task).error
    assert annotate(task, jobs=jobs[1:]).error is None
    with pytest.raises(TwoRecords, match="ask for the task"):
        raise as_worker(task, jobs=[jobs[1]]).error
    assert frames_of(task) == list(range(12))
    assert as_worker(task, jobs=[jobs[0]]).error is None  # its own record goes on


def test_one_job_has_one_writer(
    task: Any, worker: Client, as_worker: Annotate, annotate: Annotate
) -> None:
    jobs = assigned(task, worker, 1)
    as_worker(task, jobs=[jobs[1]], frames="5")
    own = read_media(worker, task.id, [jobs[1]]).identity
    with (
        task_lease(open_storage(), task=own, run=RunStamp(id="another")),
        pytest.raises(TaskIsBusy, match=f"task {task.id} is being written to"),
    ):
        raise annotate(task).error
