"""Read what a function returned: lists, or iterators that do their work while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any

from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.model.text import counted


class TooManyAnnotations(BadFunctionError):  # type: ignore[misc]
    """The function returned more annotations for one frame than are allowed."""


def read_results(returned: Any, *, images: int) -> list[Any]:
    """Return the results of `detect_batch`, one for each image. Raises BadFunctionError."""
    results = list(islice(_iterate(returned, "results"), images + 1))
    if len(results) != images:
        count = "more" if len(results) > images else str(len(results))
        raise BadFunctionError(
            f"detect_batch returned {count} results for {counted(images, 'image')}; it must "
            "return one sequence of annotations for each image"
        )
    return results


def read_list(returned: Any, limit: int | None) -> list[Any]:
    """Return the annotations of a frame, at most one more than the limit.

    Raises BadFunctionError if they are not a list.
    """
    iterator = _iterate(returned, "annotations")
    return list(iterator if limit is None else islice(iterator, limit + 1))


def check_count(annotations: Sized, limit: int | None) -> None:
    """Raise TooManyAnnotations if there are more annotations than the limit allows."""
    if limit is not None and len(annotations) > limit:
        raise TooManyAnnotations(
            f"the function returned more than {limit:,} annotations for one frame; raise "
            "--conf-threshold or --max-shapes-per-frame"
        )


def _iterate(result: Any, what: str) -> Iterator[Any]:
    """Return an iterator over what the function returned. What it yields is not read yet."""
    try:
        return iter(result)
    except TypeError as error:
        kind = "None" if result is None else f"an object of type {type(result).__name__}"
        raise BadFunctionError(
            f"the function returned {kind} instead of a list of {what}"
        ) from error
