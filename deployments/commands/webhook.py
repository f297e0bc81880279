"""`cvat-flows webhook`: receive CVAT's webhooks and have each task annotated when it is ready."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from cvat_flows.deployments.listening import listen, url_of
from cvat_flows.deployments.webhook.debounce import DEFAULT_MAX_WAIT, DEFAULT_WAIT, SweepStarter
from cvat_flows.deployments.webhook.secret import SECRET_VARIABLE, read_secret
from cvat_flows.deployments.webhook.sweep_runs import DEFAULT_DEPLOYMENT, PrefectSweepRuns
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.model.log_filter import CleanFilter


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, default=8085, help="port; 0: a free one (default: 8085)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"file with the webhook's secret (default: the variable {SECRET_VARIABLE})",
    )
    parser.add_argument(
        "--deployment",
        metavar="FLOW/NAME",
        default=DEFAULT_DEPLOYMENT,
        help="deployment of annotate-new-tasks that looks at the tasks. Its parameters name the "
        f"rules (default: {DEFAULT_DEPLOYMENT})",
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        default=DEFAULT_WAIT,
        help="start a sweep when no delivery has come for this long, so that one sweep looks at "
        f"many tasks (default: {DEFAULT_WAIT:g})",
    )
    parser.add_argument(
        "--max-wait",
        type=float,
        metavar="SECONDS",
        default=DEFAULT_MAX_WAIT,
        help="start it this long after its first delivery at the latest "
        f"(default: {DEFAULT_MAX_WAIT:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.webhook.http_server import make_server
    from cvat_flows.deployments.webhook.receiver import PATH, make_app

    secret = read_secret(arguments.secret_file)
    if not 0 <= arguments.wait <= arguments.max_wait < float("inf"):
        raise UsageError("--wait must not be negative, and --max-wait not shorter than --wait")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger().handlers[0].addFilter(CleanFilter())
    logging.getLogger("cvat_flows").setLevel(logging.INFO)
    sweeps = SweepStarter(
        PrefectSweepRuns(arguments.deployment), wait=arguments.wait, max_wait=arguments.max_wait
    )
    app = make_app(sweeps, secret=secret.encode())
    with listen(arguments.host, arguments.port) as listener:
        print(f"listening on {url_of(listener, arguments.host)}{PATH}", flush=True)
        make_server(app).run(sockets=[listener])
    return 0


COMMAND = Command(
    name="webhook",
    configure=configure,
    run=run,
)
