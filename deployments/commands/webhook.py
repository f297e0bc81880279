"""`cvat-flows webhook`: receive CVAT's webhooks and announce ready tasks to Prefect."""

from __future__ import annotations

import argparse
import logging
import os
import stat
from pathlib import Path

from cvat_flows.flows.commands.command import (
    Command,
    UsageError,
    add_function_arguments,
    add_server_arguments,
    build,
    function_of,
    use_server_arguments,
)

SECRET_VARIABLE = "CVAT_FLOWS_WEBHOOK_SECRET"
SHORTEST_SECRET = 16


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8085, help="port (default: 8085)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"file that holds the webhook's secret (default: the variable {SECRET_VARIABLE})",
    )
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="YAML file with the rules of the nightly sweep: which tasks get which function "
        "(default: the variable CVAT_FLOWS_RULES); without it every task of the webhook's projects "
        "gets the function below",
    )
    add_function_arguments(parser, required=False)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    import uvicorn

    from cvat_flows.deployments.webhook.announcing import Announcer
    from cvat_flows.deployments.webhook.ready_tasks import TaskLookout
    from cvat_flows.deployments.webhook.receiver import PATH, make_app
    from cvat_flows.flows.sweep.rules import RULES_VARIABLE, SweepRule, read_rules

    secret = read_secret(arguments.secret_file)
    given = arguments.function_module or arguments.function_file
    named = os.environ.get(RULES_VARIABLE)
    file = arguments.rules or (Path(named) if named and not given else None)
    if arguments.rules and given:
        raise UsageError(
            "--rules names the functions: leave out --function-module, --function-file"
        )
    rules = (
        read_rules(file) if file else [build(SweepRule, function_of(arguments) if given else {})]
    )
    use_server_arguments(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("cvat_flows").setLevel(logging.INFO)
    app = make_app(Announcer(TaskLookout(rules).look), secret=secret.encode())
    print(f"listening on http://{arguments.host}:{arguments.port}{PATH}", flush=True)
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, access_log=False, log_level="warning"
    )
    return 0


def read_secret(path: Path | None) -> str:
    """The webhook's secret. Raises UsageError if there is none, or one that can be guessed."""
    if path is None:
        secret = os.environ.get(SECRET_VARIABLE, "")
        where = f"the variable {SECRET_VARIABLE}"
    else:
        where = f"the file {path}"
        try:
            secret = path.read_text().strip()
            if stat.S_IMODE(path.stat().st_mode) & 0o007:
                logging.warning("%s can be read by everybody: chmod o-rwx %s", where, path)
        except OSError as error:
            raise UsageError(f"{where} cannot be read ({error.strerror})") from error
    if not secret:
        raise UsageError(
            f"no secret for the webhook: give --secret-file or set {SECRET_VARIABLE}, the same "
            "that the webhook in CVAT has"
        )
    if len(secret) < SHORTEST_SECRET:
        raise UsageError(
            f"the secret in {where} is shorter than {SHORTEST_SECRET} characters: make a long one, "
            "for example with `openssl rand -hex 32`"
        )
    return secret


COMMAND = Command(
    name="webhook",
    help="Receive CVAT's webhooks and have ready tasks annotated at once.",
    configure=configure,
    run=run,
)
