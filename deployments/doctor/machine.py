"""Storage, disk, function and device of the machine that the doctor runs on."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from aa_functions.reference import FunctionReference, FunctionReferenceError, load_function
from cvat_flows.deployments.doctor import Verdict, failure, ok, warning
from cvat_flows.tasks.detect.runner import DetectionContext
from cvat_flows.tasks.storage import FolderStorage, Storage, open_storage

GIGABYTE = 1 << 30
LITTLE_SPACE = 5 * GIGABYTE
NO_SPACE = GIGABYTE // 2


def check_storage() -> Iterator[Verdict]:
    """Can manifests be written, read, listed and deleted?"""
    storage = open_storage()
    path = f"doctor/{secrets.token_hex(8)}"
    content = secrets.token_bytes(64)
    started = time.monotonic()
    storage.write(path, content)
    try:
        same = storage.read(path) == content
        listed = [file.path for file in storage.list("doctor")]
    finally:
        storage.delete(path)
    took = time.monotonic() - started
    if not same or path not in listed:
        yield failure(
            "storage",
            f"{storage!r} does not give back what was written",
            "look for a cache or a proxy in between",
        )
    else:
        yield ok("storage", f"{storage!r}, {took * 1000:.0f} ms to write, read, list and delete")
    yield from _disk(storage)


def check_function(reference: FunctionReference) -> Iterator[Verdict]:
    """Does the function load, and does it detect on a picture?"""
    started = time.monotonic()
    try:
        function = load_function(reference)
    except FunctionReferenceError as error:
        yield failure("function", str(error), "")
        return
    digest = (function.fingerprint or "none")[:12]
    yield ok(
        "function", f"{function.title}, fingerprint {digest}, {time.monotonic() - started:.1f} s"
    )
    context = DetectionContext(frame_name="doctor.png")
    image = Image.new("RGB", (640, 480), (90, 120, 150))
    try:
        function.function.detect(context, image)
        started = time.monotonic()
        function.function.detect(context, image)
    except Exception as error:
        yield failure(
            "detection",
            f"{function.title} fails on an empty picture ({type(error).__name__}: {error})",
            "are its weights there, and its device?",
        )
        return
    yield ok("detection", f"{(time.monotonic() - started) * 1000:.0f} ms for a picture of 640x480")
    yield from _device()


def _device() -> Iterator[Verdict]:
    """What torch finds, if the function brought it along."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        free, total = torch.cuda.mem_get_info()
        yield ok(
            "device",
            f"{', '.join(names)}; {free / GIGABYTE:.0f} of {total / GIGABYTE:.0f} GiB free",
        )
    else:
        yield warning(
            "device",
            "no GPU: detection runs on the CPU",
            "if this machine has one, look at its driver and at torch.version.cuda",
        )


def _disk(storage: Storage) -> Iterator[Verdict]:
    prune = "make room, or prune the cache (deployment maintain)"
    yield disk_verdict("temporary folder", Path(tempfile.gettempdir()), prune)
    if isinstance(storage, FolderStorage):
        yield disk_verdict("storage folder", storage.root, prune)


def disk_verdict(what: str, place: Path, advice: str) -> Verdict:
    """How much room is left; `advice` is for when it gets little."""
    free = shutil.disk_usage(place).free
    text = f"{free / GIGABYTE:.1f} GiB free in {place}"
    if free < NO_SPACE:
        return failure(what, text, "make room: runs fail without it")
    return warning(what, text, advice) if free < LITTLE_SPACE else ok(what, text)
