"""The function of the deployments' tests: images 13 pixels wide make it fail."""

from __future__ import annotations

from tests.deployments.conftest import function_file

__all__ = ["function_file"]
