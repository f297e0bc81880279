"""A detection function for a Nuclio detector of CVAT that runs behind a URL.

    cvat-cli task auto-annotate 12 --function-module aa_functions.nuclio \
        -p url=str:http://gpu-box:32768 -p function_yaml=str:function.yaml

The function need not be changed, and Nuclio need not be involved: whatever answers by the same
contract (`aa_functions.remote`) will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PIL.Image
from cvat_sdk.auto_annotation import (
    DetectionAnnotation,
    DetectionFunctionContext,
    DetectionFunctionSpec,
)

from aa_functions.contexts import check_lengths, min_confidence, wants_polygons
from aa_functions.errors import NuclioError
from aa_functions.options import check_counts, check_shares
from aa_functions.remote.answer import AnswerReader
from aa_functions.remote.client import FunctionClient
from aa_functions.remote.function_yaml import FunctionLabels, read_function_yaml, read_spec
from aa_functions.remote.request import IMAGE_FORMATS, request_body

RESULTS_VERSION = 1
"""Part of the fingerprint. Increase it if a change here or in `remote` gives other annotations."""


def create(
    url: str,
    *,
    function_yaml: str | Path | None = None,
    spec: str | Sequence[Mapping[str, Any]] | None = None,
    conf: float | None = None,
    concurrency: int = 4,
    timeout: float = 60.0,
    retries: int = 5,
    image_format: str = "auto",
    version: str = "",
    probe: bool = True,
) -> NuclioDetection:
    """Create a detection function from a Nuclio detector of CVAT.

    Args:
        url: Where the function answers, such as `http://gpu-box:32768`. No password: see
            `CVAT_FLOWS_NUCLIO_AUTHORIZATION` in `docs/functions.md`.
        function_yaml: Path of the `function.yaml` that the function was deployed with. Its labels
            are the spec.
        spec: In place of `function_yaml`: the list of labels in its form, or such a list as JSON.
        conf: Threshold, 0 to 1, if the context has none. None: the function's own.
        concurrency: Requests in flight at a time. The function should have as many workers.
        timeout: Seconds to wait for an answer.
        retries: How often a request is repeated after 429, a 5xx status or a lost connection.
        image_format: `auto`, `png` or `jpeg`; see `aa_functions.remote.request`.
        version: Any text. Change it when another model is deployed at the same URL: detections of
            the old one are then not used.
        probe: Send a grey picture first, to see that the function answers.

    Returns:
        The function. The ids of its labels are their positions in the spec.

    Raises:
        NuclioError: if the spec, the URL or another parameter cannot be used, or the function does
            not answer.

    >>> function = create("http://localhost:32768", spec='[{"name": "car"}]', probe=False)
    >>> [(label.name, label.id) for label in function.spec.labels]
    [('car', 0)]
    """
    check_shares(NuclioError, conf=conf)
    check_counts(NuclioError, concurrency=concurrency)
    if retries < 0:
        raise NuclioError(f"The option retries is {retries}, but must be at least 0.")
    if not timeout > 0:
        raise NuclioError(f"The option timeout is {timeout:g} s, but must be above 0.")
    if image_format not in IMAGE_FORMATS:
        raise NuclioError(
            f"The option image_format is '{image_format}', but must be one of: "
            f"{', '.join(IMAGE_FORMATS)}."
        )
    if (function_yaml is None) == (spec is None):
        raise NuclioError(
            "The labels of the function are needed once: give 'function_yaml', the path of its "
            'function.yaml, or \'spec\', such as [{"name": "car", "type": "rectangle"}].'
        )
    if function_yaml is not None:
        labels = read_function_yaml(Path(function_yaml))
    else:
        assert spec is not None
        labels = read_spec(spec)
    function = NuclioDetection(
        url=url,
        labels=labels,
        client=FunctionClient(url, timeout=timeout, retries=retries, concurrency=concurrency),
        conf=conf,
        concurrency=concurrency,
        image_format=image_format,
        identity={
            "url": url,
            "version": version,
            "function_yaml": None if function_yaml is None else Path(function_yaml),
        },
    )
    if probe:
        function.probe()
    return function


class NuclioDetection:
    """The AA function. Several threads may use it at the same time. `create` makes it."""

    results_depend_on = "image"

    def __init__(
        self,
        *,
        url: str,
        labels: FunctionLabels,
        client: FunctionClient,
        conf: float | None,
        concurrency: int,
        image_format: str,
        identity: Mapping[str, Any],
    ) -> None:
        self.title = labels.title or "nuclio"
        # Two models behind two URLs are two functions in the records of what was uploaded.
        self.function_name = f"aa_functions.nuclio:{labels.title}" if labels.title else None
        self._labels = labels
        self._client = client
        self._reader = AnswerReader(labels.by_name, f"The function at '{url}'")
        self._conf = conf
        self._concurrency = concurrency
        self._image_format = image_format
        self._identity = identity

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels of the `function.yaml`. Their ids are positions."""
        return self._labels.spec

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Ask the function for one image.

        Args:
            context: Its `conf_threshold` (0 to 1) is the request's `threshold`. Nothing with a
                lower confidence is returned, whatever the function answers.
            image: Of any size and mode; it is sent as RGB.

        Returns:
            What the function answers, as annotations in pixels, with scores where it has a
            `confidence`.

        Raises:
            NuclioError: if there is no usable answer.
        """
        threshold = min_confidence(context, self._conf)
        return self._reader.read(
            self._client.call(request_body(image, threshold, self._image_format)),
            size=image.size,
            threshold=threshold,
            conv_mask_to_poly=wants_polygons(context),
        )

    def detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """Ask the function for several images, `concurrency` at a time.

        Args:
            contexts: One for each image.
            images: Of any modes and sizes.

        Returns:
            For each image what `detect` returns.
        """
        check_lengths(contexts, images)
        executor = ThreadPoolExecutor(self._concurrency, thread_name_prefix="nuclio")
        try:
            return list(executor.map(self.detect, contexts, images))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def probe(self) -> None:
        """Send a grey picture. Raises NuclioError if there is no usable answer."""
        picture = PIL.Image.new("RGB", (640, 480), (114, 114, 114))
        answer = self._client.call(request_body(picture, self._conf, self._image_format))
        self._reader.read(answer, size=picture.size, threshold=self._conf, conv_mask_to_poly=False)

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """Return what decides the annotations, as far as it can be known.

        The model behind the URL can change unseen: see `version` of `create`.
        """
        return {
            "implementation": f"aa_functions.nuclio {RESULTS_VERSION}",
            **self._identity,
            "labels": [label.to_dict() for label in self.spec.labels],
            "conf": self._conf,
            "image_format": self._image_format,
            "packages": ("cvat_sdk",),
        }
