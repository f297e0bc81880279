"""Make predictors: of the export if there is one, else of the checkpoint."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from aa_functions.backends.backend import Backend
from aa_functions.backends.export import export_network, export_path, facts_path, open_export
from aa_functions.backends.exported import ExportedPredictor
from aa_functions.backends.facts import NetworkFacts, facts_of, read_facts, write_facts
from aa_functions.backends.openvino_forward import ExportForward
from aa_functions.backends.predictor import (
    Predictor,
    PredictorOptions,
    load_checkpoint,
    model_info,
)
from aa_functions.errors import YoloOptionError
from aa_functions.kinds.kind import Kind, ModelInfo

logger = logging.getLogger(__name__)


class Network:
    """A checkpoint that is loaded only if its export is not enough."""

    def __init__(self, weights: Path, backend: Backend) -> None:
        """Raises YoloOptionError if there is no export, and the weights are unusable."""
        self.weights = weights
        self._checkpoint: Any = None
        self._lock = threading.Lock()
        self.facts: NetworkFacts | None = None
        if backend != "torch" and export_path(weights, backend).exists():
            self.facts = read_facts(facts_path(weights))
        self.info: ModelInfo = (
            model_info(self.checkpoint, weights.name)
            if self.facts is None
            # Of two files with the same content, the first gave the facts its name.
            else evolve(self.facts.info, name=weights.name)
        )

    @property
    def checkpoint(self) -> Any:
        """Ultralytics' model object."""
        with self._lock:
            if self._checkpoint is None:
                self._checkpoint = load_checkpoint(self.weights)
            return self._checkpoint

    def keep_facts(self) -> NetworkFacts | None:
        """Return the facts, and keep them for later runs. Call it when there is an export."""
        if self.facts is None:
            self.facts = facts_of(self.checkpoint, self.info)
            if self.facts is not None:
                write_facts(facts_path(self.weights), self.facts)
        return self.facts


@define(kw_only=True, eq=False)
class PredictorMaker:
    """Makes predictors for one model and its options. Thread-safe."""

    network: Network
    kind: Kind
    options: PredictorOptions
    backend: Backend
    may_fall_back: bool
    """Whether to run with torch if the export fails."""
    copies: int
    """Predictors with one thread that run at the same time."""
    _opened: dict[int, Callable[[], ExportForward]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def make(self, threads: int) -> Predictor | ExportedPredictor:
        """Make a predictor that uses this number of processor threads.

        Raises YoloOptionError if the export fails.
        """
        if self.backend != "torch":
            try:
                return self._make_exported(threads)
            except YoloOptionError as error:
                if not self.may_fall_back:
                    raise
                logger.warning("Running with torch instead: %s", error)
                self.backend = "torch"
        predictor = Predictor(self.network.checkpoint, self.kind, self.options)
        if self.options.precision != "f32":
            predictor.reduce_precision(self.options.precision)
        return predictor

    def _make_exported(self, threads: int) -> Predictor | ExportedPredictor:
        path = export_path(self.network.weights, self.backend)
        predictor = None
        if self.network.facts is None or not path.exists():
            predictor = Predictor(self.network.checkpoint, self.kind, self.options)
            path = export_network(self.network.weights, self.backend, predictor)
        with self._lock:
            if threads not in self._opened:
                self._opened[threads] = open_export(
                    path,
                    self.backend,
                    threads=threads,
                    copies=self.copies if threads == 1 else 1,
                    precision=self.options.precision,
                )
            forward = self._opened[threads]()
            facts = self.network.keep_facts()
        if facts is not None:
            return ExportedPredictor(facts, self.kind, self.options, forward)
        predictor = predictor or Predictor(self.network.checkpoint, self.kind, self.options)
        predictor.forward = forward
        return predictor
