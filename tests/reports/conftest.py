"""The fixtures of the flows' tests, for the flow's reports."""

from __future__ import annotations

from tests.flows.conftest import annotate, function_file

__all__ = ["annotate", "function_file"]
