"""Check the gates of rules: whether their functions are as good as the rules want."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aa_functions.reference import FunctionReferenceError, LoadedFunction
from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.flows.sweep.gates import check_gate_labels, judge_gate_of
from cvat_flows.flows.sweep.rule_parts import function_for
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.storage import open_storage


def check_gates(rules: Sequence[SweepRule], server: str | None) -> Iterator[Verdict]:
    """Say for each rule with a gate whether it passes now.

    Raises RulesError if a gate names an unknown label.
    """
    gated = [rule for rule in rules if rule.gate]
    if not gated:
        return
    loaded: dict[str, LoadedFunction] = {}
    check_gate_labels(gated, loaded)
    storage, host = open_storage(), find_settings(server).host
    for rule in gated:
        try:
            function = function_for(rule, loaded)
        except FunctionReferenceError:
            continue  # the check of the function says why
        verdict = judge_gate_of(rule, function, storage, host)
        if verdict:
            yield ok("gate", f"rule {rule}: {verdict}")
        else:
            hint = "until then the sweep leaves the tasks of this rule: docs/evaluation.md"
            yield warning("gate", f"rule {rule}: {verdict}", hint)
