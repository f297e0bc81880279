"""Use the function of the deployments' tests: it fails on images that are 13 pixels wide."""

from __future__ import annotations

from tests.deployments.conftest import function_file

__all__ = ["function_file"]
