"""The command `cvat-flows`. `flows.commands.base.exit_status` lists its exit statuses."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import NoReturn

from cvat_flows.flows.commands.base.exit_status import (
    INTERRUPTED,
    MISTAKE,
    describe_statuses,
    status_of,
)
from cvat_flows.flows.commands.base.listing import describe, find_commands
from cvat_flows.flows.commands.base.logs import LEVELS, given_level, show_logs
from cvat_flows.flows.commands.printing.own_output import keep_output


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    given = _words_to_complete() or (sys.argv[1:] if argv is None else list(argv))
    if argv is None and not _is_completing():
        keep_output()
    show_logs(given_level(given))
    set_prefect_defaults()
    parser = argparse.ArgumentParser(
        prog="cvat-flows",
        description="Annotate CVAT tasks with detection functions, as Prefect flows.",
        epilog=describe_statuses(),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cvat-flows {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = find_commands()
    chosen = given[0] if given and given[0] in commands else None
    for name in [chosen] if chosen else commands:
        entry = commands[name]
        text = describe(entry)
        subparser = subparsers.add_parser(
            name, help=text, description=text, epilog=describe_statuses(), allow_abbrev=False
        )
        if chosen:
            command = entry.load()
            command.configure(subparser)
            subparser.add_argument(
                "--log-level", choices=LEVELS, help="print the log from this level on"
            )
            subparser.set_defaults(run=command.run)
    _complete(parser)
    if not given:
        parser.print_help()
        return MISTAKE
    arguments = parser.parse_args(given)

    sys.excepthook = _print_traceback
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        print(
            "interrupted: what was done so far is saved; run the same command again to continue",
            file=sys.stderr,
        )
        return INTERRUPTED
    except Exception as error:
        sentence = _sentence_of(error)
        if sentence is None:
            raise
        from cvat_flows.tasks.model.text import clean

        print(f"cvat-flows {arguments.command}: {clean(str(sentence))}", file=sys.stderr)
        return status_of(sentence)
    return status


def _is_completing() -> bool:
    """Return whether a shell asks for completions (argcomplete)."""
    return "_ARGCOMPLETE" in os.environ


def _words_to_complete() -> list[str]:
    """Return the words that a shell wants completed, without the program's name."""
    return os.environ.get("COMP_LINE", "").split()[1:] if _is_completing() else []


def _complete(parser: argparse.ArgumentParser) -> None:
    """Print completions and end the process if a shell asks for them. Needs argcomplete."""
    if _is_completing():
        import argcomplete

        argcomplete.autocomplete(parser)


def _sentence_of(error: Exception) -> Exception | None:
    """Return the error that says in a sentence what to do; None if the error is a bug.

    Nothing is imported before it is needed: the reference alone takes half a second.
    """
    from aa_functions.reference import FunctionReferenceError
    from cvat_flows.tasks.model.errors import CvatFlowsError

    if isinstance(error, CvatFlowsError | FunctionReferenceError):
        return error
    if "prefect" not in sys.modules:
        return None
    from cvat_flows.flows.prefect_server import explain_prefect

    return explain_prefect(error)


def _print_traceback(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print the traceback of a bug without credentials and control characters."""
    from traceback import format_exception

    from cvat_flows.tasks.model.text import clean

    print(clean("".join(format_exception(kind, error, traceback))), end="", file=sys.stderr)


def run() -> NoReturn:
    """Run the command line of this process, and end the process."""
    signal.signal(signal.SIGINT, _interrupt)
    status = main()
    if status == INTERRUPTED:
        # Python would wait for threads, such as a call of the function or a download.
        _exit_now()
    sys.exit(status)


def _interrupt(number: int, frame: object) -> NoReturn:
    """Interrupt the command the first time, and end the process the second time."""
    signal.signal(signal.SIGINT, lambda *_: _exit_now())
    raise KeyboardInterrupt


def _exit_now() -> NoReturn:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def _version() -> str:
    try:
        return version("cvat-flows")
    except PackageNotFoundError:
        return "(not installed)"


def set_prefect_defaults() -> None:
    """Set the defaults of Prefect's settings for the command line, unless the user has set them.

    Must be called before the first import of Prefect, which reads its settings then.
    """
    # The SDK's connections warn about every attempt. The error at the end says enough.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    for name, value in {
        # Only the console: the runs' logs still reach the Prefect server.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Without a server, runs are not recorded. Prefect would start a temporary one.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    run()
