"""What a function detects and what CVAT stores, as two types with different ids.

A `Detection` has the ids of the function's spec; an `Annotation` has the ids of the CVAT task.
Only `check.remap` converts one to the other, so the type checker ensures that no id of the
function's spec is uploaded.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

TAG = "tag"

Attributes = tuple[tuple[int, str], ...]


@frozen(kw_only=True)
class Detection:
    """One tag, shape or skeleton element exactly as an AA function returned it.

    The values are unchecked; `check.validate` checks them.
    """

    type: str
    """`tag` or a CVAT shape type. For any other object, the name of its Python type."""
    label_id: Any
    """Label id in the spec; for an element, the sublabel id."""
    frame: Any = 0
    """Frame number that the function set. The protocol requires 0."""
    points: tuple[Any, ...] = ()
    """Pixels of the original image, in CVAT's order for the shape type."""
    rotation: Any = 0.0
    """Degrees, clockwise."""
    occluded: Any = False
    outside: Any = False
    z_order: Any = 0
    group: Any = None
    score: Any = None
    """Confidence, 0 to 1; None if the function returned none."""
    attributes: tuple[tuple[Any, Any], ...] = ()
    """Pairs of attribute id in the spec and value."""
    elements: tuple[Detection, ...] = ()
    preset: tuple[str, ...] = ()
    """Which of `id` and `source` the function set. The protocol forbids both."""


@frozen(kw_only=True)
class Annotation:
    """One tag, shape or skeleton element as it is sent to CVAT, with the CVAT task's ids."""

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
    """Pairs of attribute id in the CVAT task (`spec_id`) and value."""
    elements: tuple[Annotation, ...] = field(default=())
    source: str = "auto"
