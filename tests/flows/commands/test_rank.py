"""`cvat-flows rank`: issues on frames, and the order of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gap(tmp_path: Path) -> str:
    """A function that finds a car on all frames but frame 1."""
    module = tmp_path / "gap.py"
    module.write_text(
        "from types import SimpleNamespace\n"
        "from aa_functions import DetectionFunctionSpec, label_spec, rectangle\n"
        "def create():\n"
        "    def detect(context, image):\n"
        "        if '0001' in context.frame_name:\n"
        "            return []\n"
        "        return [rectangle(0, [1, 1, 30, 30], score=0.9)]\n"
        "    spec = DetectionFunctionSpec(labels=[label_spec('car', 0)])\n"
        "    return SimpleNamespace(spec=spec, detect=detect)\n"
    )
    return str(module)


def test_the_order_of_jobs_and_issues(
    cli: Cli, make_task: Callable[..., Any], gap: str, tmp_path: Path
) -> None:
    task = make_task(6, segment_size=3)
    first, second = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    common = ("rank", task.id, "--function", gap)
    status, out, _ = cli(*common, "--order", "--issues", 1, "--output", tmp_path, function=False)
    assert status == 0
    order = [line.split()[:5] for line in out.splitlines() if line.strip()[:1].isdigit()]
    assert order == [
        ["1", str(first.id), "3", "1", "0.33"],
        ["2", str(second.id), "3", "0", "0.00"],
    ]
    assert "1 issue created, 0 already there" in out
    assert (tmp_path / "jobs.csv").read_text().splitlines()[1].startswith(f"1,{first.id},3,1,")

    status, out, _ = cli(*common, "--order", "--json", function=False)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["place"], row["job_id"]) for row in rows] == [(1, first.id), (2, second.id)]
    assert rows[0]["url"].endswith(f"/tasks/{task.id}/jobs/{first.id}")

    status, out, _ = cli("rank", task.id, "--remove-issues", "--yes", function=False)
    assert (status, first.get_issues()) == (0, [])
    assert "1 issue removed, 0 kept" in out


def test_mistakes_are_one_sentence(cli: Cli, make_task: Callable[..., Any]) -> None:
    task = make_task(1)
    status, out, err = cli("rank", task.id, function=False)
    assert (status, out) == (2, "")
    assert "--function: is missing" in err
    status, _, err = cli("rank", task.id, "--issues", 0)
    assert status == 2
    assert "--issues 0: input should be greater than or equal to 1" in err
    status, _, err = cli("rank", task.id, "--remove-issues", "--issues", 3, function=False)
    assert status == 2
    assert "--remove-issues: ranks nothing" in err
    status, _, err = cli("rank", task.id, "--remove-issues", function=False)
    assert status == 2
    assert "nobody can be asked" in err
