"""Errors of an evaluation."""

from __future__ import annotations

from cvat_flows.tasks.model.errors import CvatFlowsError


class NoTruth(CvatFlowsError):
    """There is nothing to compare detections with."""


class AnnotationFileError(CvatFlowsError):
    """A file with annotations cannot be read, or belongs to other images."""


class LabelsDiffer(CvatFlowsError):
    """The truth has labels that the function does not have."""


class DamagedFigures(CvatFlowsError):
    """A file with kept figures cannot be read."""
