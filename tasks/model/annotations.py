"""What a function detects and what CVAT stores: two spaces of ids, two types.

A `Detection` speaks in the ids of the function's spec, an `Annotation` in the ids of the CVAT
task. Only `check.remap` makes the second from the first, so the type checker sees to it that no
id of a function's space reaches an upload.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

TAG = "tag"

Attributes = tuple[tuple[int, str], ...]


@frozen(kw_only=True)
class Detection:
    """One tag, shape or skeleton element as an AA function returned it, read literally.

    Nothing here has been checked: `tasks.check.validate` does that.
    """

    type: str
    """`tag`, a CVAT shape type, or the name of the Python type of an object that is neither."""
    label_id: Any
    """Label id of the spec (for an element: sublabel id)."""
    frame: Any = 0
    """Frame number that the function set; the protocol wants 0."""
    points: tuple[Any, ...] = ()
    """Pixels of the original image, in CVAT's order for the shape type."""
    rotation: Any = 0.0
    """Degrees, clockwise."""
    occluded: Any = False
    outside: Any = False
    z_order: Any = 0
    group: Any = None
    score: Any = None
    """Confidence, 0 to 1; None if the function gives none."""
    attributes: tuple[tuple[Any, Any], ...] = ()
    """Pairs of the spec's attribute id and a value."""
    elements: tuple[Detection, ...] = ()
    preset: tuple[str, ...] = ()
    """Which of `id` and `source` the function set; the protocol forbids both."""


@frozen(kw_only=True)
class Annotation:
    """One tag, shape or skeleton element as it is sent to CVAT, in the CVAT task's ids."""

    type: str
    label_id: int
    frame: int
    points: tuple[float, ...] = ()
    """Pixels of the original image, in CVAT's order for the shape type; empty for tags and
    skeletons."""
    rotation: float = 0.0
    occluded: bool = False
    outside: bool = False
    z_order: int = 0
    group: int | None = None
    score: float | None = None
    attributes: Attributes = ()
    """Pairs of the CVAT task's attribute id (`spec_id`) and a value."""
    elements: tuple[Annotation, ...] = field(default=())
    source: str = "auto"
