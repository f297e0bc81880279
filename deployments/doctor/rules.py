"""Check that the nightly sweep has rules, and find the functions that the deployments use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from aa_functions.reference import FunctionReference
from cvat_flows.deployments.doctor.gates import check_gates
from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.deployments.setup.connection import prefect_client
from cvat_flows.deployments.setup.nightly import NO_RULES, SWEEP
from cvat_flows.flows.function_fields import DEFAULT_FUNCTION
from cvat_flows.flows.sweep.parameters import RULES_VARIABLE
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.flows.sweep.rules_file import read_rules
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import counted


def check_rules(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Check the rules of the sweep's deployment. Raises RulesError if they are wrong."""
    parameters = _parameters(client, SWEEP)
    if parameters is None:
        return  # the check of the schedules says that the deployment is missing
    rules = _rules(parameters)
    if not rules:
        yield warning("rules", NO_RULES.partition(": ")[0], "run `cvat-flows setup --rules FILE`")
        return
    names = ", ".join(f"{rule} with {rule.function}" for rule in rules[:5])
    yield ok("rules", f"{counted(len(rules), 'rule')}: {names}")
    yield from check_gates(rules, parameters.get("server"))


def functions_in_use() -> list[FunctionReference]:
    """Return the functions of the deployments and their rules; the default one if there are none.

    Without a Prefect server that answers, these are the functions of the rules file.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    try:
        parameters: dict[str, Any] = {}
        if prefect_is_configured():
            with prefect_client() as client:
                by_hand = _parameters(client, "annotate-task") or {}
                parameters = _parameters(client, SWEEP) or {}
            if by_hand.get("function"):
                found.append((by_hand["function"], by_hand.get("function_parameters") or {}))
        found += [(rule.function, rule.function_parameters) for rule in _rules(parameters)]
    except CvatFlowsError:
        pass  # other checks say what is wrong with the server and with the rules
    unique: list[tuple[str, dict[str, Any]]] = []
    for one in found or [(DEFAULT_FUNCTION, {})]:
        if one not in unique:
            unique.append(one)
    return [FunctionReference.named(name, given) for name, given in unique]


def _parameters(client: SyncPrefectClient, name: str) -> dict[str, Any] | None:
    """Return the parameters of the deployment of that name; None if there is none."""
    found = [one for one in client.read_deployments() if one.name == name]
    return dict(found[0].parameters) if found else None


def _rules(parameters: dict[str, Any]) -> list[SweepRule]:
    file = parameters.get("rules_file")
    rules = [SweepRule.model_validate(row) for row in parameters.get("rules") or []]
    if not rules and not file:
        file = os.environ.get(RULES_VARIABLE)
    return [*rules, *(read_rules(Path(file)) if file else [])]
