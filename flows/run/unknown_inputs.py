"""Tell that nothing is kept of a function, because it is not known what its results depend on."""

from __future__ import annotations

from aa_functions.reference import LoadedFunction
from cvat_flows.tasks.engine.current import run_logger


def warn_of_unknown_inputs(function: LoadedFunction) -> None:
    """Log that nothing tells whether the function is the one of an earlier run."""
    if function.unknown:
        run_logger().warning(
            "The function %r has no fingerprint: %s. So its detections are not cached, and every "
            "run detects on all frames again. To change that, add fingerprint_inputs; see "
            "docs/functions.md.",
            function.title,
            function.unknown,
        )


def warn_of_missing_input(function: LoadedFunction, path: str) -> None:
    """Log that the function depends on a file that its fingerprint does not count."""
    run_logger().warning(
        "The function %r has read %r, which was not read when it was loaded or has changed since. "
        "So its detections are not cached, and the next run detects on these frames again. To "
        "change that, read the file in create, or name it in fingerprint_inputs; see "
        "docs/functions.md.",
        function.title,
        path,
    )
