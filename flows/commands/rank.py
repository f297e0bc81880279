"""`cvat-flows rank`: list the frames that a person should correct first, as detections tell.
Nothing but issues is written to CVAT, and only with --issues.
"""

from __future__ import annotations

import argparse
from functools import partial

from attrs import asdict

from cvat_flows.flows.commands.arguments.confirm import add_yes_argument, confirm
from cvat_flows.flows.commands.arguments.server_options import use_server_arguments
from cvat_flows.flows.commands.arguments.task_arguments import has_function, parse_task_id
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.evaluation_output import show_jobs, show_ranked
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.tables import facts_table
from cvat_flows.flows.commands.runs.evaluating import (
    add_evaluation_arguments,
    evaluation_parameters,
    run_and_report,
)
from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.evaluation.publish import files_of_ranking
from cvat_flows.flows.in_process import rank_here
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.cvat.task import fetch_media
from cvat_flows.tasks.evaluate.queue.issues import remove_issues
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.evaluation.ranking import RankingReport


def configure(parser: argparse.ArgumentParser) -> None:
    add_evaluation_arguments(parser, RankFramesParameters, function_required=False)
    group = parser.add_argument_group("people's queue")
    group.add_argument(
        "--order",
        action="store_true",
        help="print the unfinished jobs in the order in which they are best corrected, in place of "
        "the frames",
    )
    group.add_argument(
        "--remove-issues",
        action="store_true",
        help="rank nothing, but remove the issues of --issues that nobody has answered, resolved "
        "or assigned",
    )
    add_yes_argument(group)


def run(arguments: argparse.Namespace) -> int:
    if arguments.remove_issues:
        return _remove_issues(arguments)
    if not has_function(arguments):
        raise UsageError("--function: is missing; `cvat-flows functions` lists the installed ones")
    return run_and_report(
        arguments,
        evaluation_parameters(arguments, RankFramesParameters),
        rank_here,
        show=partial(_show, order=arguments.order),
        files=files_of_ranking,
        page="ranking.md",
    )


def _remove_issues(arguments: argparse.Namespace) -> int:
    if has_function(arguments) or arguments.issues is not None or arguments.order:
        raise UsageError("--remove-issues: ranks nothing; leave out --function, --issues, --order")
    use_server_arguments(arguments)
    output, task_id = Output.of(arguments), parse_task_id(arguments)
    client = connect(find_settings(arguments.server))
    media = fetch_media(client, task_id)
    count = counted(len(remove_issues(client, media, dry_run=True).removed), "issue")
    if not confirm(f"remove {count} of task {task_id} in CVAT?", yes=arguments.yes):
        output.say("nothing was removed")
        return FAILED
    done = remove_issues(client, media)
    removed, kept = counted(len(done.removed), "issue"), f"{len(done.kept):,}"
    output.say(f"issues: {removed} removed, {kept} kept because people have dealt with them")
    output.row({"task": task_id, **asdict(done)})
    return DONE


def _show(report: RankingReport, output: Output, *, order: bool) -> None:
    failed = report.predictions.failed
    if order:
        show_jobs(report.jobs, output)
        for job in report.jobs:
            output.row({**asdict(job), "url": report.job_url(job.job_id)})
    else:
        show_ranked(report.media, report.ranked, output)
        for one in report.ranked:
            output.row({"name": report.media.frame(one.frame).name, **asdict(one)})
    facts = [("result", report.sentence)]
    if failed:
        number, error = next(iter(failed.items()))
        frames = counted(len(failed), "frame")
        facts.append(("failed", f"{frames}; the first is {number}: {error}"))
    issues = report.issues_error or (report.issues.sentence if report.issues else "")
    if issues:
        facts.append(("issues", issues))
    output.show(facts_table(facts))
    if not order:
        output.row({"result": report.sentence, "failed": len(failed), "issues": issues})


COMMAND = Command(
    name="rank",
    configure=configure,
    run=run,
)
