"""Make what a rule needs: a client, the function, and the check for new tasks."""

from __future__ import annotations

from functools import cache, partial

from attrs import evolve
from cvat_sdk import Client

from aa_functions.installed import short_name
from aa_functions.reference import LoadedFunction, load_function
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.sweep.find import RESTORED, Judge, Verdict, VersionJudge, judge
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.record.manifest import functions_of_task
from cvat_flows.tasks.record.manifest_summary import read_summary
from cvat_flows.tasks.storage import Storage


def client_for(rule: SweepRule, server: str | None) -> Client:
    """Log in to the rule's organization. Raises CannotConnect, ServerSettingsError."""
    settings = find_settings(server)
    if rule.organization is not None:
        settings = evolve(settings, organization=rule.organization)
    return connect_for_run(settings)


def function_for(rule: SweepRule, loaded: dict[str, LoadedFunction]) -> LoadedFunction:
    """Load the rule's function, once for all rules that share `loaded`.

    Raises FunctionReferenceError.
    """
    reference = rule.for_task(1).reference
    key = repr((rule.function, reference.function_name, sorted(reference.parameters.items())))
    if key not in loaded:
        loaded[key] = load_function(reference)
    return loaded[key]


def judge_for(
    rule: SweepRule,
    loaded: dict[str, LoadedFunction],
    storage: Storage,
    is_better: VersionJudge | None = None,
) -> Judge:
    """Return a check that decides from a task's manifest whether it is new to the rule's function.

    The first task that is checked loads the function. Then the check raises FunctionReferenceError
    if the function cannot be loaded.
    """
    options = rule.for_task(1).result_digest()
    load = cache(partial(function_for, rule, loaded))

    def check(task: ListedTask) -> Verdict:
        function = load()
        summary = read_summary(storage, task=task.identity, function=function.name)
        if summary is not None and summary.is_later_than(task.updated):
            return Verdict(state="new", reason=RESTORED)
        verdict = judge(
            summary,
            frames=task.frames,
            fingerprint=function.fingerprint or "",
            options=options,
            again_when=rule.again_when,
            is_better=is_better,
        )
        others = () if summary else functions_of_task(storage, task.identity)
        if others:
            names = ", ".join(map(short_name, others))
            return evolve(verdict, reason=f"annotated by {names}, not by this function")
        return verdict

    return check
