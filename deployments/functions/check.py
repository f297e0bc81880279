"""Run a function on one image and check that it keeps the protocol in all respects."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from attrs import define, field
from PIL import Image

from aa_functions.reference import LoadedFunction
from aa_functions.user_code import contained
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning
from cvat_flows.tasks.check.errors import BadOutputError
from cvat_flows.tasks.check.geometry import ImageSize, find_defect
from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.validate import check_detections
from cvat_flows.tasks.detect.context import DetectionContext
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.error_text import error_text
from cvat_flows.tasks.model.labels import labels_of_spec
from cvat_flows.tasks.model.text import counted

CALLS = 5
"""Calls that are timed."""
HIGH_SCORE = 0.9
"""A threshold that a function must respect."""


class CallFailed(Exception):
    """The function raised an error. The text says when."""


@define(kw_only=True)
class FunctionCheck:
    """The checks of a function on one image. `verdicts` gives them in order."""

    loaded: LoadedFunction
    image: Image.Image
    name: str
    """File name of the image."""
    conf_threshold: float | None = None
    found: tuple[Detection, ...] = field(default=(), init=False)
    """What the function detected, with the given threshold."""

    def verdicts(self) -> Iterator[Verdict]:
        """Run the checks. Yields one verdict for each; stops if the function fails."""
        labels = labels_of_spec(self.loaded.function.spec)
        kinds = ", ".join(dict.fromkeys(label.type for label in labels))
        yield ok("spec", f"{counted(len(labels), 'label')} ({kinds})")
        if self.loaded.unknown:
            yield warning(
                "fingerprint",
                f"there is none ({self.loaded.unknown}), so detections are not cached",
                "add fingerprint_inputs to the function: docs/functions.md",
            )
        else:
            yield ok("fingerprint", (self.loaded.fingerprint or "")[:12])
        try:
            self.found = self._detect(self.image, "the image")
            yield from self._check_output(labels)
            yield from self._check_thresholds(labels)
            yield from self._check_repeats()
            yield from self._check_modes()
            yield self._time()
        except CallFailed as error:
            yield failure("detect", str(error), "mend the function")

    def _check_output(self, labels: Sequence[Any]) -> Iterator[Verdict]:
        match = match_spec(labels, labels)
        try:
            check_detections(self.found, match)
        except BadOutputError as error:
            where = "" if error.index is None else f"annotation {error.index}: "
            yield failure("output", f"{where}{error}", "such a frame would fail")
            return
        yield ok("output", f"{counted(len(self.found), 'annotation')}, all valid")
        size = ImageSize(width=self.image.width, height=self.image.height)
        defects = [text for one in self.found if (text := find_defect(one, size))]
        if defects:
            yield warning(
                "geometry",
                f"{counted(len(defects), 'annotation')}, the first one {defects[0]}",
                "clip to the image in the function, or use --geometry clip",
            )
        else:
            yield ok("geometry", "every shape is inside the image")

    def _check_thresholds(self, labels: Sequence[Any]) -> Iterator[Verdict]:
        high = self._detect(self.image, "conf_threshold", conf_threshold=HIGH_SCORE)
        scores = [one.score for one in high if isinstance(one.score, int | float)]
        if any(score < HIGH_SCORE for score in scores):
            low = f"it returned a score of {min(scores):.2f} for conf_threshold={HIGH_SCORE}"
            yield failure("conf_threshold", low, "drop what is below context.conf_threshold")
        elif high and not scores:
            yield warning("conf_threshold", "no annotation has a score", "return scores")
        else:
            yield ok("conf_threshold", "is respected")
        if any(label.type == "mask" for label in labels):
            polygons = self._detect(self.image, "conv_mask_to_poly", conv_mask_to_poly=True)
            try:
                check_detections(polygons, match_spec(labels, labels, conv_mask_to_poly=True))
                yield ok("conv_mask_to_poly", "is respected")
            except BadOutputError as error:
                advice = "return polygons if context.conv_mask_to_poly is set"
                yield failure("conv_mask_to_poly", str(error), advice)

    def _check_repeats(self) -> Iterator[Verdict]:
        """The same image must give the same result: in a second call, a batch, and threads."""
        advice = "detections are cached and frames are tried again, so results must not vary"
        repeated = {"a second call": self._detect(self.image, "a second call")}
        batch = getattr(self.loaded.function, "detect_batch", None)
        if callable(batch):
            contexts, images = [self._context()] * 3, [self.image.copy() for _ in range(3)]
            parts = list(_guarded("detect_batch", lambda: list(batch(contexts, images))))
            if len(parts) != len(images):
                text = f"returned {len(parts)} results for {len(images)} images"
                yield failure("detect_batch", text, "return one sequence for each image")
            else:
                for number, part in enumerate(parts):
                    repeated[f"image {number} of a batch"] = read_output(part)
        with ThreadPoolExecutor(2) as threads:
            calls = [threads.submit(self._detect, self.image, "two threads") for _ in range(2)]
            for call in calls:
                repeated["two threads"] = call.result()
        other = [what for what, result in repeated.items() if result != self.found]
        if other:
            yield failure("same result", f"{', '.join(other)} gave another one", advice)
        else:
            yield ok("same result", f"in {', '.join(repeated)}")

    def _check_modes(self) -> Iterator[Verdict]:
        """Tasks have grey and transparent images, and very small ones, too."""
        failed = []
        variants = {
            "grey (L)": self.image.convert("L"),
            "transparent (RGBA)": self.image.convert("RGBA"),
            "palette (P)": self.image.convert("P"),
            "16x16 pixels": self.image.convert("RGB").resize((16, 16)),
        }
        for name, image in variants.items():
            try:
                self._detect(image, name)
            except CallFailed as error:
                failed.append(str(error))
        if failed:
            yield warning(
                "image modes", "; ".join(failed), "convert with aa_functions.to_rgb(image)"
            )
        else:
            yield ok("image modes", ", ".join(variants))

    def _time(self) -> Verdict:
        seconds = []
        for _ in range(CALLS):
            begin = time.perf_counter()
            self._detect(self.image, "timing")
            seconds.append(time.perf_counter() - begin)
        size = f"{self.image.width}x{self.image.height}"
        text = f"{statistics.median(seconds) * 1000:.1f} ms for an image of {size}"
        return ok("time", f"{text} (median of {CALLS} calls)")

    def _context(self, **options: Any) -> DetectionContext:
        return DetectionContext(
            frame_name=self.name, **{"conf_threshold": self.conf_threshold, **options}
        )

    def _detect(self, image: Image.Image, what: str, **options: Any) -> tuple[Detection, ...]:
        context, own = self._context(**options), image.copy()
        detect = self.loaded.function.detect
        found: tuple[Detection, ...] = _guarded(what, lambda: read_output(detect(context, own)))
        return found


def _guarded(what: str, call: Callable[[], Any]) -> Any:
    """Call the function's code. Raises CallFailed."""
    try:
        with contained():
            return call()
    except Exception as error:
        raise CallFailed(f"it fails with {what}: {error_text(error, 200)}") from error
