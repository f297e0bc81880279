"""The report of a sweep."""

from __future__ import annotations

from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.report import SweepReport, SweepRow
from cvat_flows.tasks.reports.sweep_markdown import MAX_ROWS
from tests.support.identity import task_number
from tests.tasks.reports.markdown_reader import read
from tests.tasks.reports.report_factory import HOSTILE

RUN = "0d6a3a0e-5d6e-4b7c-9d0e-1f2a3b4c5d6e"


def row(number: int, outcome: str, *, name: str = "street", text: str = "") -> SweepRow:
    task = ListedTask(
        identity=task_number(number),
        updated=task_number(1).created,
        name=name,
        frames=3,
        dimension="2d",
        project_id=None,
        url=f"https://cvat.example.com/tasks/{number}",
    )
    return SweepRow(
        task=task,
        rule="cars",
        outcome=outcome,  # type: ignore[arg-type]
        text=text,
        run_url=f"http://127.0.0.1:4200/v2/runs/flow-run/{RUN}" if outcome != "failed" else None,
    )


def test_tasks_that_need_attention_come_first() -> None:
    report = SweepReport(
        rows=[row(1, "annotated"), row(2, "failed", text="CVAT refused")], done=7, waiting=2
    )
    page = read(report.markdown())
    counts, tasks = page.tables
    assert counts[1:] == [
        ["found", "11"],
        ["annotated", "1"],
        ["failed", "1"],
        ["done before", "7"],
        ["without data yet", "2"],
    ]
    assert tasks[1:] == [
        ["2", "street", "CVAT", "cars", "failed", "CVAT refused"],
        ["1", "street", "CVAT run", "cars", "annotated", ""],
    ]
    assert page.links == [
        "https://cvat.example.com/tasks/2",
        "https://cvat.example.com/tasks/1",
        f"../../runs/flow-run/{RUN}",
    ]


def test_hostile_names_stay_in_their_cells() -> None:
    rows = [row(n, "failed", name=name, text=name) for n, name in enumerate(HOSTILE)]
    page = read(SweepReport(rows=rows, rule_errors=[HOSTILE[3]]).markdown())
    assert {len(one) for one in page.tables[1]} == {6}
    assert len(page.tables[1]) == 1 + len(HOSTILE)
    assert len(page.links) == len(HOSTILE)
    assert not {"html_inline", "html_block", "code_inline", "em_open"} & page.kinds


def test_tasks_beyond_the_limit_are_counted() -> None:
    report = SweepReport(rows=[row(n, "annotated") for n in range(MAX_ROWS + 5)])
    page = read(report.markdown())
    assert len(page.tables[1]) == 1 + MAX_ROWS
    assert "and 5 more tasks" in page.text


def test_a_sweep_that_found_nothing_says_so() -> None:
    page = read(SweepReport().markdown())
    assert "no CVAT task fits the rules" in page.text
    assert page.tables == [[["CVAT tasks", ""], ["found", "0"]]]
