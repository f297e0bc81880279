"""What is on a frame already, for functions that need it."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PresentAnnotation:
    """A tag or shape that is on a frame before a function sees it.

    A function with `needs_annotations = True` gets them as `context.annotations`.

    >>> box = PresentAnnotation(label="car", type="rectangle", points=(10, 10, 90, 50),
    ...                         attributes=(("colour", "red"),))
    >>> box.label, dict(box.attributes)
    ('car', {'colour': 'red'})
    """

    label: str
    """Name of the label in the CVAT task; of an element of a skeleton, of the sublabel."""
    type: str
    """`tag` or a CVAT shape type."""
    points: tuple[float, ...] = ()
    """Pixels of the image, in CVAT's order for the type. Of a mask: runs, then its box, as
    `decode_mask` takes them."""
    rotation: float = 0.0
    """Degrees, clockwise."""
    occluded: bool = False
    outside: bool = False
    """Of an element of a skeleton: it is not on the image."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values."""
    elements: tuple[PresentAnnotation, ...] = ()
    """Of a skeleton."""
