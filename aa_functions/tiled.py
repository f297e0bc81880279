"""Any detection function on overlapping tiles of large images, and on the whole image.

    cvat-cli task auto-annotate 12 --function-module aa_functions.tiled \
        -p function=str:yolov8n -p tile=int:640

A network scales an image to its input size, so small objects on a large image vanish. On tiles they
keep their size. An object on the border of two tiles is found in parts, which are merged
(`aa_functions.wrappers.merge`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import PIL.Image
from attrs import frozen
from cvat_sdk.auto_annotation import (
    DetectionAnnotation,
    DetectionFunctionContext,
    DetectionFunctionSpec,
)

from aa_functions.contexts import check_lengths
from aa_functions.errors import WrapperOptionError
from aa_functions.reference import LoadedFunction
from aa_functions.wrappers.found import TAG, Found, is_annotation
from aa_functions.wrappers.member import (
    call,
    check_number,
    declared_dependence,
    load_member,
    takes_batches,
)
from aa_functions.wrappers.merge import merge
from aa_functions.wrappers.tiles import Tile, ready_to_cut, tiles_of

MIN_TILE = 32
MAX_OVERLAP = 0.9
RESULTS_VERSION = 2
"""Part of the fingerprint. Increase it if a change here, in `wrappers` or in `outlines` gives other
results."""

logger = logging.getLogger(__name__)


def create(
    function: Any,
    *,
    parameters: Mapping[str, Any] | str | None = None,
    tile: int = 640,
    overlap: float = 0.2,
    whole: bool = True,
    threshold: float = 0.5,
    batch: int = 64,
) -> TiledDetection:
    """Create a function that calls another one on tiles of each image.

    Args:
        function: Name of a module, path of a `.py` file, or an object with `spec` and `detect`.
        parameters: For the `create` of that function. On a command line as JSON:
            `-p 'parameters=str:{"model": "yolov8s.pt"}'`.
        tile: Side of a tile, in pixels, at least 32. An image that is not larger is not divided.
        overlap: Minimum share of a tile's side that the next one has, too; 0 to 0.9. Choose it so
            that most objects fit into it.
        whole: Also detect on the whole image, for objects larger than a tile.
        threshold: Merge two shapes of a label if they share at least this part of the smaller one;
            above 0, at most 1.
        batch: Most tiles in a call of the function's `detect_batch`. Lower it if memory runs out.

    Returns:
        The function. Its labels are those of the inner function.

    Raises:
        FunctionReferenceError: if the inner function cannot be loaded.
        WrapperOptionError: if an option has an unusable value.

    >>> function = create("shapes", tile=320)
    >>> [label.name for label in function.spec.labels]
    ['circle', 'square', 'triangle', 'star']
    """
    at_least = f"a whole number of at least {MIN_TILE}"
    check_number("tile", tile, lambda it: it >= MIN_TILE, at_least, whole=True)
    check_number("batch", batch, lambda it: it >= 1, "a whole number of at least 1", whole=True)
    check_number("overlap", overlap, lambda it: 0 <= it <= MAX_OVERLAP, f"from 0 to {MAX_OVERLAP}")
    check_number("threshold", threshold, lambda it: 0 < it <= 1, "above 0 and at most 1")
    member = load_member(function, parameters)
    if member.needs_annotations:
        raise WrapperOptionError(
            f"The function {member.title!r} needs what is on the frame already, which cannot be "
            "divided into tiles: use it without aa_functions.tiled."
        )
    return TiledDetection(
        member,
        tile=tile,
        overlap=overlap,
        whole=whole,
        threshold=threshold,
        batch=batch,
    )


@frozen
class _Part:
    """A part of one of the images of a call."""

    image: int
    tile: Tile
    is_whole: bool


class TiledDetection:
    """The AA function. As many threads may use it as may use the inner one."""

    def __init__(
        self,
        member: LoadedFunction,
        *,
        tile: int,
        overlap: float,
        whole: bool,
        threshold: float,
        batch: int,
    ) -> None:
        self.wrapped_functions = (member,)
        self.title = f"{member.title}-tiled"
        self.function_name = f"aa_functions.tiled:{member.name}"
        self.results_depend_on = declared_dependence([member])
        # A batch of a function that has none is no faster, and a bad frame would fail all of it.
        self.detect_batch = self._detect_batch if takes_batches(member) else None
        self._member = member
        self._tile = tile
        self._overlap = overlap
        self._whole = whole
        self._threshold = threshold
        self._batch = batch
        self._small_image_is_logged = threading.Event()

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The spec of the inner function."""
        spec: DetectionFunctionSpec = self._member.function.spec
        return spec

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Detect on one image.

        Args:
            context: Passed to the inner function, the same for each tile.
            image: Of any size and mode. Grey of more than 8 bits becomes RGB, scaled by the
                largest value of the whole image.

        Returns:
            Annotations in pixels of the image, by falling score.
        """
        return self._detect_batch([context], [image])[0]

    def _detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """Detect on several images. The tiles of all images share the batches.

        Args:
            contexts: One for each image.
            images: Of any modes and sizes.

        Returns:
            For each image what `detect` returns.
        """
        check_lengths(contexts, images)
        ready = [ready_to_cut(image) for image in images]
        found: list[list[Found]] = [[] for _ in images]
        # Not annotations at all: the caller says what is wrong with them.
        strange: list[list[Any]] = [[] for _ in images]
        parts = enumerate(self._parts(ready))
        while batch := list(islice(parts, self._batch)):
            results = call(
                self._member,
                [contexts[part.image] for _, part in batch],
                [part.tile.cut(ready[part.image]) for _, part in batch],
            )
            for (number, part), items in zip(batch, results, strict=True):
                for item in items:
                    if not is_annotation(item):
                        strange[part.image].append(item)
                        continue
                    one = Found(item=item, dx=part.tile.left, dy=part.tile.top, source=number)
                    # What kind of picture it is, a part of it does not say.
                    if one.kind != TAG or part.is_whole or not self._whole:
                        found[part.image].append(one)
        return [
            merge(some, threshold=self._threshold) + others
            for some, others in zip(found, strange, strict=True)
        ]

    def _parts(self, images: Sequence[PIL.Image.Image]) -> Iterator[_Part]:
        for number, image in enumerate(images):
            whole = Tile(left=0, top=0, width=image.width, height=image.height)
            tiles = tiles_of(image.width, image.height, tile=self._tile, overlap=self._overlap)
            if len(tiles) == 1:
                self._log_small_image(image)
            if self._whole or len(tiles) == 1:
                yield _Part(number, whole, True)
            if len(tiles) > 1:
                yield from (_Part(number, tile, False) for tile in tiles)

    def _log_small_image(self, image: PIL.Image.Image) -> None:
        """Say once that an image has one tile."""
        if not self._small_image_is_logged.is_set():
            self._small_image_is_logged.set()
            logger.warning(
                "An image of %dx%d is not larger than a tile of %d: such images are not divided. "
                "Choose a smaller tile to divide them.",
                image.width,
                image.height,
                self._tile,
            )

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """Return what decides the results; see `aa_functions.fingerprint`."""
        return {
            "implementation": f"aa_functions.tiled {RESULTS_VERSION}",
            "function": self._member.fingerprint,
            "tile": self._tile,
            "overlap": self._overlap,
            "whole": self._whole,
            "threshold": self._threshold,
            "packages": ("cvat_sdk",),
        }
