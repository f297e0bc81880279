"""The report of a sweep: one row for each CVAT task that it annotated or could not annotate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal
from uuid import UUID

from attrs import define, evolve, field, frozen

from cvat_flows.flows.sweep.find import Finding
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.tasks.model.text import counted, on_one_line, shorten_name
from cvat_flows.tasks.reports.sweep_markdown import SweepLine, sweep_markdown

Outcome = Literal[
    "annotated",
    "failed",
    "handed over",
    "under way",
    "not repeated",
    "would be annotated",
    "set aside",
    "held back",
    "import failed",
    "unsupported",
    "beyond the limit",
    "not reached",
]

_SHOWN_FINDINGS = frozenset(
    {"set aside", "held back", "import failed", "unsupported", "beyond the limit"}
)


@frozen(kw_only=True)
class SweepRow:
    """The outcome of one CVAT task."""

    task: ListedTask
    rule: str
    outcome: Outcome
    text: str = ""
    run_url: str | None = None
    run_id: UUID | None = None
    """The run that this sweep has started in a deployment."""


@define(kw_only=True)
class SweepReport:
    """The result of a sweep."""

    rows: list[SweepRow] = field(factory=list)
    rule_errors: list[str] = field(factory=list)
    errors: list[BaseException] = field(factory=list, repr=False)
    """The errors of the rules and tasks that failed."""
    done: int = 0
    """Number of tasks with nothing left to do."""
    waiting: int = 0
    """Number of tasks without data, which wait for the next sweep."""
    unmatched: int = 0
    """Number of tasks that were asked for by id, but fit no rule or do not exist."""
    left: Counter[str] = field(factory=Counter)
    """Why rules leave tasks because of their functions' quality: number of tasks by sentence."""

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """Add what is decided before anything is annotated."""
        for finding in findings:
            if finding.state == "done":
                self.done += 1
                if finding.reason:
                    self.left[f"rule {finding.rule}: annotated before, {finding.reason}"] += 1
            elif finding.state == "waiting":
                self.waiting += 1
            elif finding.state in _SHOWN_FINDINGS:
                self.add(finding, finding.state, finding.reason)  # type: ignore[arg-type]
                if finding.state == "held back":
                    self.left[f"rule {finding.rule}: {finding.reason}"] += 1

    def add(
        self,
        finding: Finding,
        outcome: Outcome,
        text: str = "",
        run_url: str | None = None,
        run_id: UUID | None = None,
    ) -> None:
        self.rows.append(
            SweepRow(
                task=finding.task,
                rule=str(finding.rule),
                outcome=outcome,
                text=text,
                run_url=run_url,
                run_id=run_id,
            )
        )

    def mark_failed(self, messages: Mapping[UUID, str]) -> None:
        """Mark the tasks whose runs have failed. `messages` are the runs' state messages."""
        self.rows = [
            evolve(row, outcome="failed", text=messages[row.run_id])
            if row.run_id is not None and row.run_id in messages
            else row
            for row in self.rows
        ]

    def of(self, outcome: Outcome) -> list[SweepRow]:
        return [row for row in self.rows if row.outcome == outcome]

    @property
    def failed(self) -> bool:
        """Whether the sweep needs a person's attention."""
        return bool(self.rule_errors or self.of("failed") or self.of("not reached"))

    @property
    def sentence(self) -> str:
        """One sentence, the flow run's state message: the outcomes, and which tasks failed."""
        counts = Counter(row.outcome for row in self.rows)
        parts = [f"{count:,} {outcome}" for outcome, count in counts.items()]
        parts += [f"{self.done:,} done before"] if self.done else []
        parts += [f"{self.waiting:,} without data yet"] if self.waiting else []
        parts += [f"{self.unmatched:,} not covered by a rule"] if self.unmatched else []
        text = ", ".join(parts)
        if not parts and not self.rule_errors:
            text = "no CVAT task fits the rules"
        if not counts and parts:
            text = f"nothing new: {text}"
        named = [row for row in self.rows if row.outcome in ("failed", "import failed")]
        if named:
            shown = ", ".join(
                f"task {row.task.id} {shorten_name(row.task.name)}" for row in named[:5]
            )
            more = f" and {len(named) - 5:,} more" if len(named) > 5 else ""
            text += f" ({shown}{more})"
        return on_one_line("; ".join(filter(None, [text, *self.left_texts, *self.rule_errors])))

    @property
    def left_texts(self) -> list[str]:
        """Why rules leave tasks because of their functions' quality, a sentence each."""
        return [f"{text} ({counted(count, 'task')})" for text, count in self.left.items()]

    def markdown(self) -> str:
        """Return the report as markdown with links. Rows that need attention come first."""
        urgent = ("failed", "not reached", "import failed", "set aside", "held back")
        counts: Counter[str] = Counter(row.outcome for row in self.rows)
        counts.update(
            {
                "done before": self.done,
                "without data yet": self.waiting,
                "not covered by a rule": self.unmatched,
            }
        )
        return sweep_markdown(
            self.sentence,
            {outcome: count for outcome, count in counts.items() if count},
            [
                SweepLine(
                    task_id=row.task.id,
                    name=row.task.name,
                    url=row.task.url,
                    rule=row.rule,
                    outcome=row.outcome,
                    text=row.text,
                    run_url=row.run_url,
                )
                for row in sorted(self.rows, key=lambda row: row.outcome not in urgent)
            ],
            [*self.left_texts, *self.rule_errors],
        )
