"""Ultralytics never installs packages. On its own it runs pip when Pillow cannot read a picture."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

HEAD = """
import io, sys


def start(event, arguments):
    if event == "subprocess.Popen":
        started.append(arguments)
        raise PermissionError("no program may start")


def attempt(action):
    started.clear()
    try:
        result = action()
    except Exception as error:
        result = type(error).__name__
    print("attempt:", result, "with pip" if started else "without")


def watch():
    from ultralytics.utils import checks
    checks.ONLINE = True  # as if this machine were
    sys.addaudithook(start)


def open_picture():
    import PIL.Image
    return PIL.Image.open(io.BytesIO(b"no picture"))


def decode_frame():
    from cvat_flows.tasks.fetch.images import decode_picture
    return decode_picture(b"no picture", "", [(1, 1)])


def require():
    from ultralytics.utils.checks import check_requirements
    return check_requirements("no-such-package-of-cvat-flows")


started = []
from aa_functions.backends.ultralytics_import import import_ultralytics
"""


def lines_of(script: str) -> list[str]:
    """Run the script in a process in which nothing has imported Ultralytics or configured it."""
    environment = {name: value for name, value in os.environ.items() if "YOLO" not in name}
    command = [sys.executable, "-c", HEAD + script]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    parts = (line.partition("attempt: ") for line in answer.stdout.splitlines())
    return [result for _, found, result in parts if found]


def test_imported_by_our_functions() -> None:
    script = "import_ultralytics(); watch(); attempt(open_picture); attempt(require)"
    assert lines_of(script) == ["UnidentifiedImageError without", "False without"]


def test_imported_by_a_function_of_a_user() -> None:
    """What Ultralytics does in that function is the user's affair, but frames are decoded by us."""
    script = """
import ultralytics
watch()
attempt(open_picture)
attempt(decode_frame)
import_ultralytics()
attempt(open_picture)
"""
    assert lines_of(script) == [
        "ModuleNotFoundError with pip",
        "ImageUnreadable without",
        "UnidentifiedImageError without",
    ]
