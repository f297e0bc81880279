"""Which GPUs there are, which are chosen, and what their workers are called."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from cvat_flows.deployments.worker import gpus, plan
from cvat_flows.deployments.worker.gpus import choose_gpus, visible_gpus
from cvat_flows.deployments.worker.plan import WorkerOptions, plan_workers
from cvat_flows.flows.commands.base.usage_error import UsageError


@pytest.mark.parametrize("module", [gpus, plan])
def test_examples(module):
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("0", ["0"]),
        ("3, 1", ["3", "1"]),
        ("", []),
        ("-1", []),
        ("MIG-1a,GPU-2b", ["MIG-1a", "GPU-2b"]),
    ],
)
def test_an_outer_variable_says_what_there_is(given, found):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": given}) == found


def test_without_the_variable_nvidia_smi_is_asked(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({"PATH": str(tmp_path)}) == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n[ \"$1\" = --query-gpu=index ] && printf '0\\n1\\n'\n")
    program.chmod(0o755)
    assert visible_gpus({"PATH": str(tmp_path)}) == ["0", "1"]
    program.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert visible_gpus({"PATH": str(tmp_path)}) == []


@pytest.mark.parametrize(
    ("text", "visible", "chosen"),
    [
        ("all", ["4", "6"], ["4", "6"]),
        ("0", ["4", "6"], ["4"]),
        ("1, 0", ["4", "6"], ["6", "4"]),
        ("GPU-2b", ["GPU-1a", "GPU-2b"], ["GPU-2b"]),
        ("none", ["4"], []),
        ("cpu", [], []),
    ],
)
def test_numbers_count_within_what_there_is(text, visible, chosen):
    assert choose_gpus(text, visible) == chosen


@pytest.mark.parametrize(
    ("text", "visible", "message"),
    [
        ("all", [], "no GPU is visible (CUDA_VISIBLE_DEVICES is empty, or nvidia-smi lists none)"),
        ("2", ["4", "6"], "there is no GPU '2'; give all, none, or numbers from 0 to 1"),
        ("4", ["4"], "there is no GPU '4'; give all, none, or the number 0"),
        ("0,", ["4"], "there is no GPU ''"),
        ("0,0", ["4"], "the GPU 0 is named twice"),
    ],
)
def test_gpus_that_are_not_there(text, visible, message):
    with pytest.raises(UsageError) as caught:
        choose_gpus(text, visible)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"--gpus {text}: ")


def test_each_worker_sees_its_gpu_and_has_its_tag():
    planned = plan_workers(["2", "GPU-1/a"], host="north", environment={})
    assert [(one.name, dict(one.environment)) for one in planned] == [
        ("north-gpu-2", {"CUDA_VISIBLE_DEVICES": "2", "CVAT_FLOWS_GPU_TAG": "gpu:north-2"}),
        (
            "north-gpu-GPU-1-a",
            {"CUDA_VISIBLE_DEVICES": "GPU-1/a", "CVAT_FLOWS_GPU_TAG": "gpu:north-GPU-1-a"},
        ),
    ]
    outer = {"CVAT_FLOWS_GPU_TAG": "gpu:room-3"}
    (one,) = plan_workers(["0"], host="north", environment=outer)
    assert one.tag == "gpu:room-3-0"
    (cpu,) = plan_workers([], host="north", environment=outer)
    assert (cpu.name, cpu.tag, dict(cpu.environment)) == (
        "north-cpu", None, {"CUDA_VISIBLE_DEVICES": ""}
    )  # fmt: skip
    planned = plan_workers(["4", "6"], host="north", environment={})
    ports = [each.command(WorkerOptions(pool="cvat", health_port=8080))[-2:] for each in planned]
    assert ports == [["--health-port", "8080"], ["--health-port", "8081"]]
    words = one.command(WorkerOptions(pool="cvat", queues=["gpu", "default"], limit=3))[3:]
    assert " ".join(words) == (
        "--pool cvat --name north-gpu-0 --limit 3 --work-queue gpu --work-queue default"
    )
