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
from cvat_flows.flows.commands.base.listing import describe, find_command, find_commands
from cvat_flows.flows.commands.base.logs import LEVELS, given_level, show_logs
from cvat_flows.flows.commands.printing.own_output import keep_output
from cvat_flows.flows.run.memory import freeze_modules, pause_gc


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    given = _words_to_complete() or (sys.argv[1:] if argv is None else list(argv))
    if argv is None and not _is_completing():
        keep_output()
    show_logs(given_level(given))
    set_prefect_defaults()
    with pause_gc():
        parser = _make_parser(given)
    if argv is None:
        freeze_modules()
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


def _make_parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line, with the options of its command only."""
    parser = argparse.ArgumentParser(
        prog="cvat-flows",
        description="Annotate CVAT tasks with detection functions, as Prefect flows.",
        epilog=describe_statuses(),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_PrintVersion)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = find_command(given[0]) if given and not given[0].startswith("-") else None
    for name, entry in ({chosen.name: chosen} if chosen else find_commands()).items():
        command = entry.load() if chosen else None
        text = describe(entry)
        subparser = subparsers.add_parser(
            name, help=text, description=text, epilog=describe_statuses(), allow_abbrev=False
        )
        if command is not None:
            command.configure(subparser)
            subparser.add_argument(
                "--log-level", choices=LEVELS, help="print the log from this level on"
            )
            subparser.set_defaults(run=command.run)
    return parser


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
    freeze_modules()  # Otherwise the exit takes 0.15 s of looking for garbage in all modules.
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


class _PrintVersion(argparse.Action):
    """Prints the version, which is read only then, and ends the process."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(
            option_strings,
            argparse.SUPPRESS,
            nargs=0,
            help="show program's version number and exit",
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        try:
            number = version("cvat-flows")
        except PackageNotFoundError:
            number = "(not installed)"
        print(f"cvat-flows {number}")
        parser.exit()


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
