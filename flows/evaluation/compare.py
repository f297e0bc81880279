"""Compare two functions, or two versions of one, on the same frames of a CVAT task."""

from __future__ import annotations

from cvat_flows.flows.evaluation.evaluate import evaluate
from cvat_flows.flows.evaluation.parameters import CompareFunctionsParameters
from cvat_flows.flows.evaluation.publish import publish_comparison
from cvat_flows.tasks.evaluate.differences import differences
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.comparison import ComparisonReport
from cvat_flows.tasks.storage import open_storage


def compare_functions(parameters: CompareFunctionsParameters) -> ComparisonReport:
    """Evaluate both functions, and publish the differences.

    Raises CvatFlowsError, with a sentence, if there is nothing to compare.
    """
    one, other = evaluate(parameters.for_one()), evaluate(parameters.for_other())
    only = set(one.evaluation.comparison.frames.tolist()) ^ set(
        other.evaluation.comparison.frames.tolist()
    )
    if only:
        raise NoTruth(
            f"task {parameters.task_id}: only one of the functions worked on "
            f"{counted(len(only), 'frame')}, the first is {min(only)}; leave them out with --frames"
        )
    report = ComparisonReport(
        one=one, other=other, differences=differences(one.evaluation, other.evaluation)
    )
    publish_comparison(open_storage(), report)
    return report
