"""The examples in the docstrings of an evaluation run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cvat_flows.flows.evaluation
import cvat_flows.tasks.evaluate
import cvat_flows.tasks.reports.evaluation

PACKAGES = (
    cvat_flows.tasks.evaluate,
    cvat_flows.tasks.reports.evaluation,
    cvat_flows.flows.evaluation,
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_examples(package: object) -> None:
    path, name = vars(package)["__path__"], vars(package)["__name__"]
    modules = [one.name for one in pkgutil.walk_packages(path, f"{name}.")]
    results = [doctest.testmod(importlib.import_module(module)) for module in modules]
    assert sum(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0
