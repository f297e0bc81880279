"""The examples in the docstrings of `aa_functions` work."""

from __future__ import annotations

import doctest
import importlib

import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)


@pytest.mark.parametrize(
    "module",
    [
        "aa_functions",
        "aa_functions.ensemble",
        "aa_functions.errors",
        "aa_functions.transformer_models.prompts",
        "aa_functions.nuclio",
        "aa_functions.outlines",
        "aa_functions.present",
        "aa_functions.reference",
        "aa_functions.remote.function_yaml",
        "aa_functions.remote.request",
        "aa_functions.shapes",
        "aa_functions.tiled",
        "aa_functions.weights",
        "aa_functions.wrappers.fusion",
        "aa_functions.wrappers.sweep",
        "aa_functions.wrappers.tiles",
        "aa_functions.yolo",
    ],
)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
