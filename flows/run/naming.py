"""Name the flow run after the CVAT task and the function."""

from __future__ import annotations

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.engine.current import current_engine, warn_on_error
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line, shorten_name


def name_flow_run(
    parameters: AnnotateTaskParameters,
    media: TaskMedia,
    live: LiveInputs,
    *,
    verb: str = "annotate",
) -> None:
    """Put the CVAT task and the function into the flow run's name and tags."""
    function = live.function.title if live.function else parameters.short_name
    tags = [f"cvat-task:{media.task_id}", f"function:{on_one_line(function, 80)}"]
    if media.project_name:
        tags.append(f"project:{on_one_line(media.project_name, 80)}")
    task = f'{media.task_id} "{shorten_name(media.name, 60)}"'
    name = f"{verb} {task} · {on_one_line(function, 60)}"
    with warn_on_error("the run's name"):
        current_engine().name_run(name, tags)
