"""Consensus replicas: jobs in which several people annotate the same frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from tests.flows.conftest import frames_of


def test_replicas_are_left_alone_unless_they_are_selected(
    make_task: Callable[..., Any], annotate: Any, client: Any
) -> None:
    task = make_task(4, segment_size=2, consensus_replicas=2)
    own, replicas = [], []
    for job in sorted(task.get_jobs(), key=lambda job: job.id):
        (own if job.parent_job_id is None else replicas).append(job)
    assert (len(own), len(replicas)) == (2, 4)

    finished = annotate(task)
    assert finished.report.sentence == "4 of 4 frames annotated"
    assert frames_of(task) == [0, 1, 2, 3]
    assert not any(job.get_annotations().shapes for job in replicas)
    (left,) = finished.report.left_out
    assert left.what == "4 consensus replicas"
    assert "--jobs" in left.remedy
    assert str(replicas[0].id) in left.remedy

    chosen = replicas[-1]
    finished = annotate(task, jobs=[chosen.id])
    assert finished.report.sentence == "2 of 2 frames annotated"
    assert [shape.frame for shape in chosen.get_annotations().shapes] == [2, 3]
    assert frames_of(task) == [0, 1, 2, 3]
    whats = [one.what for one in finished.report.left_out]
    assert whats == ["2 frames not selected", "3 consensus replicas"]
    # The manifest knows the replica: nothing is done twice.
    assert annotate(task, jobs=[chosen.id, own[1].id]).report.created == 0
    assert annotate(task, jobs=[chosen.id], only_unannotated=True).report.created == 0

    parameters = AnnotateTaskParameters(task_id=task.id, jobs=[chosen.id])
    media = finished.report.media
    assert LiveInputs(max_frames=1).default_frames(media, parameters.jobs) == "2"
