"""Check that an AA function loads and detects, and on which device."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from PIL import Image

from aa_functions.reference import FunctionReference, FunctionReferenceError, load_function
from aa_functions.user_code import contained
from cvat_flows.deployments.doctor.disk import GIBIBYTE
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning
from cvat_flows.tasks.detect.context import DetectionContext
from cvat_flows.tasks.model.error_text import error_text


def check_function(reference: FunctionReference) -> Iterator[Verdict]:
    """Load the function and let it detect on an empty image."""
    started = time.monotonic()
    try:
        loaded = load_function(reference)
    except FunctionReferenceError as error:
        yield failure("function", str(error), "")
        return
    digest = (loaded.fingerprint or "none")[:12]
    yield ok(
        "function",
        f"{loaded.label}, fingerprint {digest}, loaded in {time.monotonic() - started:.1f} s",
    )
    if loaded.unknown:
        yield warning(
            "fingerprint",
            f"{loaded.label} has none ({loaded.unknown}): its detections are not cached",
            "add fingerprint_inputs to the function: docs/functions.md",
        )
    context = DetectionContext(frame_name="doctor.png")
    image = Image.new("RGB", (640, 480), (90, 120, 150))
    try:
        with contained():
            list(loaded.function.detect(context, image))  # the first call may set up the model
            started = time.monotonic()
            list(loaded.function.detect(context, image))
    except Exception as error:
        yield failure(
            "detection",
            f"{loaded.label} fails on an empty image ({error_text(error, 300)})",
            "check that its weights and its device are available",
        )
        return
    yield ok("detection", f"{(time.monotonic() - started) * 1000:.0f} ms for an image of 640x480")


def check_device() -> Iterator[Verdict]:
    """Report the GPUs that torch sees, if the function has imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        free, total = torch.cuda.mem_get_info()
        yield ok(
            "device",
            f"{', '.join(names)}; {free / GIBIBYTE:.0f} of {total / GIBIBYTE:.0f} GiB free",
        )
    else:
        yield warning(
            "device",
            "torch sees no GPU: detection runs on the CPU",
            "if this machine has a GPU, check its driver and torch.version.cuda",
        )
