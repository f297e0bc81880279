"""What rules ask of the quality of their functions: gates, and better versions only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cache

from attrs import evolve
from cvat_sdk import Client

from aa_functions.reference import FunctionReferenceError, LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.reporting.command_line import command_for
from cvat_flows.flows.sweep.find import Judge, Verdict, VersionJudge
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.rule_parts import function_for
from cvat_flows.flows.sweep.rules import RulesError, SweepRule
from cvat_flows.tasks.cvat.task import host_of
from cvat_flows.tasks.evaluate.quality.gate import GateVerdict, judge_gate
from cvat_flows.tasks.evaluate.quality.measurement import Version
from cvat_flows.tasks.evaluate.quality.store import last_evaluations, last_review
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.matching.nearest import NearestName
from cvat_flows.tasks.record.manifest_file import OPTIONS_DIGITS
from cvat_flows.tasks.storage import Storage


def check_gate_labels(rules: Iterable[SweepRule], loaded: dict[str, LoadedFunction]) -> None:
    """Check that the gates name labels which their functions can give an annotation.

    A function that cannot be loaded is left to the sweep. Raises RulesError.
    """
    for rule in rules:
        with suppress(FunctionReferenceError):
            if rule.gate.labels:
                _check_labels(rule, function_for(rule, loaded))


def _check_labels(rule: SweepRule, function: LoadedFunction) -> None:
    mapping = load_mapping(rule.for_task(1).label_mapping)
    names = [label.name for label in function.function.spec.labels]
    targets = [target for name in names if (target := mapping.label(name).target(name))]
    known, nearest = set(map(canonical, targets)), NearestName(targets)
    for label in sorted(rule.gate.labels):
        if canonical(label) not in known:
            field = "min_precision" if label in rule.min_precision else "min_recall"
            near = nearest.find(label)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise RulesError(
                f"rule {rule}: {field} names {label!r}, which the function {function.title!r} "
                f"does not annotate{hint}"
            )


def judge_gate_of(
    rule: SweepRule, function: LoadedFunction, storage: Storage, host: str
) -> GateVerdict:
    """Decide by the kept figures whether the rule's function is as good as the rule wants."""
    if function.fingerprint is None:
        return GateVerdict(
            failed=[f"the version of {function.title!r} cannot be measured: {function.unknown}"]
        )
    version = _version_of(rule, function)
    measured = [*last_review(storage, host, version), *last_evaluations(storage, version)]
    return judge_gate(rule.gate, measured, how=how_to_measure(rule))


def hold_back(
    judge: Judge,
    rule: SweepRule,
    loaded: dict[str, LoadedFunction],
    storage: Storage,
    client: Client,
) -> Judge:
    """Return a check that leaves new tasks while the rule's gate fails."""
    if not rule.gate:
        return judge

    @cache
    def gate() -> GateVerdict:
        return judge_gate_of(rule, function_for(rule, loaded), storage, host_of(client))

    def check(task: ListedTask) -> Verdict:
        verdict = judge(task)
        if verdict.state != "new" or gate():
            return verdict
        return evolve(verdict, state="held back", reason=str(gate()))

    return check


def better_only(
    rule: SweepRule, loaded: dict[str, LoadedFunction], storage: Storage
) -> VersionJudge | None:
    """Return a check of whether the rule's function is better than all of some other versions.

    None if the rule does not ask for it.
    """
    if "better" not in rule.again_when:
        return None
    # Imported here, because the libraries for comparing take longer than a short run.
    from cvat_flows.tasks.evaluate.quality.better import improvement

    @cache
    def compare(other: Version) -> tuple[bool, str]:
        version = _version_of(rule, function_for(rule, loaded))
        if not (version.fingerprint and other.fingerprint):
            return False, "the version is not known, so nothing says which is better"
        old, new = last_evaluations(storage, other), last_evaluations(storage, version)
        if not new:
            return False, f"the new version was never evaluated: {how_to_measure(rule)}"
        if not old:
            return False, (
                f"the version {other} of the annotations was never evaluated with its options, so "
                "it cannot be compared: evaluate each version before you replace it"
            )
        result = improvement(old, new)
        return result.is_better, str(result)

    def check(others: Collection[str]) -> tuple[bool, str]:
        results = [compare(_version_of_record(one)) for one in sorted(others)]
        return next((one for one in results if not one[0]), results[0])

    return check


def how_to_measure(rule: SweepRule) -> str:
    """Say which command evaluates the rule's function with the rule's options."""
    from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters

    options = AnnotateTaskParameters.model_fields.keys() - EvaluateTaskParameters.model_fields
    command = command_for(rule.for_task(1), command="evaluate", without=options)
    if not command.startswith("cvat-flows"):
        return f"run evaluate-task with {command} on a task that people have checked"
    command = command.replace("evaluate 1", "evaluate TASK", 1)
    return f"run `{command}` on a task that people have checked"


def _version_of(rule: SweepRule, function: LoadedFunction) -> Version:
    options = rule.for_task(1).result_digest()
    return Version(fingerprint=function.fingerprint or "", options=options)


def _version_of_record(text: str) -> Version:
    """Return the version of `fingerprint parameters`, as a manifest's summary counts frames."""
    fingerprint, _, options = text.rpartition(" ")
    return Version(fingerprint=fingerprint, options=options[:OPTIONS_DIGITS])
