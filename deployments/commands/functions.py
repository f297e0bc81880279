"""`cvat-flows functions`: list the installed detection functions, or check one on an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.flows.commands.arguments.task_arguments import (
    add_parameter_argument,
    complete_with_functions,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments

if TYPE_CHECKING:
    from PIL import Image

    from aa_functions.reference import LoadedFunction
    from cvat_flows.deployments.functions.listing import InstalledFunction


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("list", "check"), nargs="?", default="list", help="default: list"
    )
    name = parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="check: an installed function, a module, or the path of a .py file",
    )
    complete_with_functions(name)
    add_parameter_argument(parser)
    parser.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="check: the image to detect on (default: a drawn one)",
    )
    parser.add_argument(
        "--conf-threshold", type=float, metavar="SCORE", help="check: passed to the function"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="check: file for the image with what was detected (default: check-NAME.png)",
    )
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.flows.commands.base.usage_error import UsageError

    if arguments.action == "list":
        if arguments.name:
            raise UsageError(f"{arguments.name}: only `cvat-flows functions check` takes a NAME")
        return _list(Output.of(arguments))
    if not arguments.name:
        raise UsageError("name the function: cvat-flows functions check NAME")
    return _check(arguments, Output.of(arguments))


def _list(output: Output) -> int:
    from attrs import asdict
    from rich.padding import Padding

    from cvat_flows.deployments.functions.listing import list_functions
    from cvat_flows.flows.commands.printing.terminal import line

    for function in list_functions(output.note):
        output.row(asdict(function))
        output.say(f"{function.name}: {function.module}")
        output.show(*(Padding(line(text), (0, 0, 0, 2), expand=False) for text in _facts(function)))
    return 0


def _facts(function: InstalledFunction) -> list[str]:
    from cvat_flows.deployments.functions.listing import MAX_LABELS
    from cvat_flows.tasks.model.text import counted, on_one_line

    if function.missing:
        return [on_one_line(function.missing)]
    if function.problem:
        return [on_one_line(function.problem)]
    if function.needs:
        needs = " ".join(f"-p {name}=TYPE:VALUE" for name in function.needs)
        return [f"needs {needs}"]
    more = len(function.labels) - MAX_LABELS
    names = ", ".join(function.labels[:MAX_LABELS]) + (f" and {more:,} more" if more > 0 else "")
    count = counted(len(function.labels), "label")
    facts = [f"annotates {', '.join(function.kinds)}: {count} ({names})"]
    facts += [f"weights {path}" for path in function.weights]
    return facts + ([f"device {function.device}"] if function.device else [])


def _check(arguments: argparse.Namespace, output: Output) -> int:
    from attrs import asdict

    from aa_functions.reference import FunctionReference, load_function
    from cvat_flows.deployments.commands.doctor import format_verdict
    from cvat_flows.deployments.functions.check import FunctionCheck

    reference = FunctionReference.named(arguments.name, arguments.function_parameters or {})
    output.note(f"loading {arguments.name} ...")
    loaded = load_function(reference)
    image, name = _image(arguments.image)
    check = FunctionCheck(
        loaded=loaded, image=image, name=name, conf_threshold=arguments.conf_threshold
    )
    failed = False
    for verdict in check.verdicts():
        failed = failed or verdict.level == "failure"
        output.row(asdict(verdict))
        output.show(*format_verdict(verdict))
    path = _draw(check, arguments.output, loaded)
    output.say(f"picture   {path.absolute()}")
    output.row({"picture": str(path.absolute())})
    return int(failed)


def _image(path: Path | None) -> tuple[Image.Image, str]:
    from PIL import Image

    from cvat_flows.flows.commands.base.usage_error import UsageError

    if path is None:
        from aa_functions.training.shape_images import make_shape_images

        (drawn,) = make_shape_images(1, seed=7)
        return drawn.image, "drawn.png"
    try:
        with Image.open(path) as opened:
            opened.load()
            return opened.copy(), path.name
    except OSError as error:
        raise UsageError(f"--image {path}: cannot be read as an image ({error})") from error


def _draw(check: object, output: Path | None, loaded: LoadedFunction) -> Path:
    from cvat_flows.deployments.functions.check import FunctionCheck
    from cvat_flows.deployments.functions.draw import draw_detections
    from cvat_flows.flows.commands.base.usage_error import UsageError
    from cvat_flows.tasks.model.labels import labels_of_spec

    assert isinstance(check, FunctionCheck)
    path = output or Path(f"check-{loaded.title}.png")
    labels = labels_of_spec(loaded.function.spec)
    try:
        draw_detections(check.image, check.found, labels).save(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--output {path}: cannot be written ({error})") from error
    return path


COMMAND = Command(
    name="functions",
    configure=configure,
    run=run,
)
