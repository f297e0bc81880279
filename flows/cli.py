"""The command `cvat-flows`: exit status 0, 1 with failed frames, 2 for a mistake in the call."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

USAGE_ERROR = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    set_prefect_defaults()
    given = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="cvat-flows",
        description="Annotate CVAT tasks with detection functions, as Prefect flows.",
        allow_abbrev=False,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for entry in _commands(given):
        command = entry.load()
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=command.help, allow_abbrev=False
        )
        command.configure(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(given)

    from aa_functions.reference import FunctionReferenceError
    from cvat_flows.tasks.model.errors import CvatFlowsError

    try:
        status: int = arguments.run(arguments)
    except (CvatFlowsError, FunctionReferenceError) as error:
        print(f"cvat-flows {arguments.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("interrupted; run it again and it goes on where it was", file=sys.stderr)
        return INTERRUPTED
    return status


def _commands(given: Sequence[str]) -> list[EntryPoint]:
    """The command that is called; all of them (slower to import) if that is not clear."""
    known = sorted(entry_points(group="cvat_flows.commands"), key=lambda entry: entry.name)
    return [entry for entry in known if given and entry.name == given[0]] or known


def set_prefect_defaults() -> None:
    """Leave the terminal to the progress bar; the log of a run is in Prefect all the same.

    So it is the console's handler that is silenced: a level for all would empty Prefect's log, too.

    Prefect reads its settings when it is imported, hence the imports inside `main`.
    """
    # The SDK's connections warn of every attempt; what came of them is in the error.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    for name, value in {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Without a server set up Prefect starts its own: 20 s are not enough on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # A server that is started from here records task runs a hundred at a time: 10 ms of its
        # processor time a run instead of 31 (each event was a transaction of its own).
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # Nobody looks at the event feed of a server that ends with the command, and automations
        # belong to the server that was set up. Two thirds of what is left of its work.
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    sys.exit(main())
