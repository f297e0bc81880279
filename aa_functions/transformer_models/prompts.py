"""The labels of a zero-shot detection, and the texts that describe them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aa_functions.errors import TransformersError


def read_prompts(labels: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Return the prompt of each label.

    Args:
        labels: Names with commas between them, a list of names, or a mapping of names to prompts;
            also as JSON. A name alone is its own prompt.

    Raises:
        TransformersError: if there are none, or a name or a prompt is empty or not a text.

    >>> read_prompts("car, traffic light")
    {'car': 'car', 'traffic light': 'traffic light'}
    >>> read_prompts('{"car": "a photo of a car"}')
    {'car': 'a photo of a car'}
    """
    given: Any = labels
    if isinstance(labels, str):
        given = _from_text(labels)
    prompts = dict(given) if isinstance(given, Mapping) else {name: name for name in given or ()}
    if not prompts:
        raise TransformersError(
            "A model for zero-shot detection needs 'labels': the names of the CVAT task's labels, "
            "such as 'car, person', or a mapping of names to prompts."
        )
    for name, prompt in prompts.items():
        if not all(isinstance(text, str) and text.strip() for text in (name, prompt)):
            raise TransformersError(
                f"'labels' has the entry {name!r}: {prompt!r}, but names and prompts must be texts."
            )
    return prompts


def _from_text(labels: str) -> Any:
    if labels.lstrip().startswith(("{", "[")):
        try:
            return json.loads(labels)
        except ValueError as error:
            raise TransformersError(f"'labels' is not JSON ({error}).") from error
    return [name.strip() for name in labels.split(",") if name.strip()]
