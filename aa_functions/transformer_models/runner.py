"""Run a network on images in batches.

Only inputs of the same size are in one batch: padding would let the result of an image depend on
the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import PIL.Image

from aa_functions.pictures import to_rgb
from aa_functions.processors import cpu_cores

Inputs = dict[str, Any]
"""Tensors by the names of the model's arguments. Their first dimension counts images."""
Sizes = list[tuple[int, int]]
"""Heights and widths of images in pixels."""


class BatchRunner:
    """Several threads may use it at the same time; the network runs once at a time.

    Args:
        model: Called with the inputs as keyword arguments.
        prepare: Makes the inputs of one RGB image.
        device: A `torch.device`.
        batch: Most images in a batch.
    """

    def __init__(
        self,
        model: Any,
        prepare: Callable[[PIL.Image.Image], Inputs],
        *,
        device: Any,
        batch: int,
    ) -> None:
        self._model = model.to(device)
        self._prepare = prepare
        self._device = device
        self._batch = batch
        self._lock = threading.Lock()

    def run(
        self, images: Sequence[PIL.Image.Image], read: Callable[[Any, Sizes], Sequence[Any]]
    ) -> list[Any]:
        """Run the network.

        Args:
            images: Of any modes and sizes.
            read: Makes one result for each image of a batch from the model's output and the sizes.

        Returns:
            The results in the order of the images.
        """
        results: list[Any] = [None] * len(images)
        window = max(self._batch, cpu_cores())
        for first in range(0, len(images), window):
            part = images[first : first + window]
            inputs = self._prepare_all(part)
            for batch in self._batches(inputs):
                sizes = [(part[index].height, part[index].width) for index in batch]
                found = self._forward([inputs[index] for index in batch], sizes, read)
                for index, result in zip(batch, found, strict=True):
                    results[first + index] = result
        return results

    def _prepare_all(self, images: Sequence[PIL.Image.Image]) -> list[Inputs]:
        if len(images) == 1:
            return [self._prepare(to_rgb(images[0]))]
        with ThreadPoolExecutor(min(len(images), cpu_cores())) as executor:
            return list(executor.map(lambda image: self._prepare(to_rgb(image)), images))

    def _batches(self, inputs: Sequence[Inputs]) -> Iterator[list[int]]:
        """Yield positions of inputs of the same shapes, at most `batch` of them."""
        alike: dict[Any, list[int]] = {}
        for index, tensors in enumerate(inputs):
            shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
            alike.setdefault(shapes, []).append(index)
        for indices in alike.values():
            for first in range(0, len(indices), self._batch):
                yield indices[first : first + self._batch]

    def _forward(
        self,
        inputs: Sequence[Inputs],
        sizes: Sizes,
        read: Callable[[Any, Sizes], Sequence[Any]],
    ) -> Sequence[Any]:
        import torch

        joined = {
            name: torch.cat([one[name] for one in inputs]).to(self._device) for name in inputs[0]
        }
        with self._lock, torch.inference_mode():
            return read(self._model(**joined), sizes)
