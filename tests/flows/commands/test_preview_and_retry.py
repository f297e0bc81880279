"""`cvat-flows preview` and `cvat-flows retry`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.prefect_flows import annotate_task_flow
from tests.flows.conftest import frames_of
from tests.support.prefect_records import artifacts_of, flow_run_of

MakeTask = Callable[..., Any]


@pytest.fixture
def server_arguments(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_HOST", sandbox.url)
    monkeypatch.setenv("CVAT_USER", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", "admin")


def content_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="content">(.*?)</script>', page.read_text(), re.S)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


@pytest.mark.usefixtures("server_arguments", "storage_folder")
class TestPreview:
    def test_it_makes_a_page_and_writes_nothing_to_cvat(
        self, make_task: MakeTask, function_file: Path, tmp_path: Path, capsys: Any
    ) -> None:
        task = make_task(6)
        page = tmp_path / "page.html"
        arguments = ["--function-file", str(function_file), "--output", str(page)]
        status = main(["preview", str(task.id), *arguments, "--frames", "1-3"])
        assert status == 0
        assert str(page) in capsys.readouterr().out
        content = content_of(page)
        assert [frame["number"] for frame in content["frames"]] == [1, 2, 3]
        assert [frame["created"] for frame in content["frames"]] == [1, 1, 1]
        assert content["totals"]["created"] == 3
        assert content["match"][0]["status"] == "matched"
        assert content["command"].startswith(f"cvat-flows annotate {task.id} ")
        assert frames_of(task) == []

    def test_it_includes_frames_that_are_done(
        self, make_task: MakeTask, annotate: Any, function_file: Path, tmp_path: Path
    ) -> None:
        task = make_task(2)
        annotate(task)
        page = tmp_path / "page.html"
        arguments = ["--function-file", str(function_file), "--output", str(page)]
        main(["preview", str(task.id), *arguments])
        frames = content_of(page)["frames"]
        assert [(frame["created"], frame["kept"]) for frame in frames] == [(0, 1), (0, 1)]
        # Even with cached detections, the page has pictures.
        assert all(frame["picture"].startswith("data:image/jpeg") for frame in frames)
        assert frames_of(task) == [0, 1]

    def test_the_slider_can_go_below_the_threshold(
        self, make_task: MakeTask, function_file: Path, tmp_path: Path
    ) -> None:
        task = make_task(1)
        page = tmp_path / "page.html"
        arguments = ["--function-file", str(function_file), "--output", str(page)]
        arguments += ["--conf-threshold", "0.8", "--lowest-score", "0.1"]
        main(["preview", str(task.id), *arguments])
        content = content_of(page)
        assert content["threshold"] == 0.8
        # The only box has a score of 0.5: the page shows it, but a run would not create it.
        assert [shape["score"] for shape in content["frames"][0]["shapes"]] == [0.5]
        assert content["totals"]["created"] == 0
        assert content["totals"]["counts"] == {"below threshold": 1}

    def test_a_page_that_cannot_be_written_is_a_usage_error(
        self, make_task: MakeTask, function_file: Path, tmp_path: Path, capsys: Any
    ) -> None:
        task = make_task(1)
        arguments = ["--function-file", str(function_file), "--output", str(tmp_path)]
        assert main(["preview", str(task.id), *arguments]) == 2
        assert f"--output {tmp_path}" in capsys.readouterr().err

    def test_a_lowest_score_above_the_threshold_is_a_usage_error(
        self, function_file: Path, capsys: Any
    ) -> None:
        arguments = ["--function-file", str(function_file), "--conf-threshold", "0.2"]
        assert main(["preview", "1", *arguments, "--lowest-score", "0.3"]) == 2
        assert "--lowest-score 0.3 is above --conf-threshold 0.2" in capsys.readouterr().err


@pytest.mark.usefixtures("server_arguments", "storage_folder")
class TestRetry:
    def test_the_latest_failed_run_annotates_what_failed(
        self, make_task: MakeTask, annotate_in_prefect: Any, sandbox: SandboxProcess, capsys: Any
    ) -> None:
        task = make_task(12)
        sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": 5}])
        try:
            failed = annotate_in_prefect(task)
        finally:
            sandbox.clear_faults()
        annotate_in_prefect(make_task(1))
        annotate_in_prefect(make_task(2), dry_run=True, max_failed_frames=0, frames="0")
        assert main(["retry"]) == 2
        assert flow_run_of(failed).name in capsys.readouterr().err
        assert main(["retry", "--yes"]) == 0
        output = capsys.readouterr()
        assert "1 of 1 frame annotated, 11 skipped (11 done before)" in " ".join(output.out.split())
        run = flow_run_of(failed)
        assert run.run_count == 2
        assert run.state.is_completed()
        assert frames_of(task) == list(range(12))
        assert len(artifacts_of(failed, type="progress")) == 2

    def test_a_run_is_found_by_id_address_and_name(
        self, make_task: MakeTask, annotate_in_prefect: Any, capsys: Any
    ) -> None:
        finished = annotate_in_prefect(make_task(1))
        run = flow_run_of(finished)
        for wanted in (str(run.id), f"http://x/v2/runs/flow-run/{run.id}?tab=Logs", run.name):
            assert main(["retry", wanted]) == 0
        assert flow_run_of(finished).run_count == 4
        capsys.readouterr()

    def test_a_run_of_a_deployment_waits_for_a_worker(
        self, make_task: MakeTask, prefect_server: None, capsys: Any
    ) -> None:
        task = make_task(1)
        with get_client(sync_client=True) as prefect:
            flow_id = prefect.create_flow(annotate_task_flow)
            deployment_id = prefect.create_deployment(flow_id=flow_id, name="nightly")
            run = prefect.create_flow_run_from_deployment(
                deployment_id, parameters={"task_id": task.id}
            )
            assert main(["retry", str(run.id)]) == 2
            assert "has not ended (its state is Scheduled)" in capsys.readouterr().err
            from prefect.states import Failed

            prefect.set_flow_run_state(run.id, Failed(message="gone"), force=True)
            assert main(["retry", str(run.id), "--insecure", "--org", "cars"]) == 2
            assert "--organization, --insecure does not work here" in capsys.readouterr().err
            assert main(["retry", str(run.id)]) == 0
            assert "waiting for a worker" in capsys.readouterr().out
            state = prefect.read_flow_run(run.id).state
            assert state is not None
            assert state.is_scheduled()

    def test_an_unknown_run_is_a_usage_error(self, prefect_server: None, capsys: Any) -> None:
        assert main(["retry", "no-such-run"]) == 2
        assert "no flow run of annotate-task named 'no-such-run'" in capsys.readouterr().err
        assert main(["retry", "00000000-0000-4000-8000-000000000000"]) == 2
        assert "Prefect has no flow run 0000" in capsys.readouterr().err
