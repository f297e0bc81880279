"""The page about one failed frame, in markdown."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import code_block, counted, escape_markdown, link, table
from cvat_flows.tasks.reports.pictures.thumbnails import data_uri


@frozen(kw_only=True)
class Reproduction:
    """What a person needs to run a failed frame again."""

    function: str
    """The function's reference with its parameters, as people write it."""
    fingerprint: str | None
    command: Callable[[Frame], str]
    """Returns a command line that runs one frame and writes nothing."""


def frame_markdown(
    outcome: Outcome,
    failure: Failure,
    media: TaskMedia,
    reproduction: Reproduction,
    *,
    picture: bytes | None,
    brief: bool = False,
) -> str:
    """Make the page about a failed frame: picture, place, error, and how to reproduce it.

    The page is limited to about 10 KB, most of it the picture. `brief` leaves out the traceback.
    """
    frame = outcome.frame
    facts = [
        ("error", escape_markdown(failure.error, 600)),
        ("step", f"{failure.step} ({escape_markdown(failure.error_type, 80)})"),
        (
            "CVAT task",
            f"{link('open', media.task_url)} {media.task_id} · {escape_markdown(media.name, 120)}",
        ),
        ("frame", f"{frame.number} · {escape_markdown(frame.name, 300)}"),
        ("job", str(frame.job_ids[0]) if frame.job_ids else "none"),
        ("image", _image_facts(outcome)),
        ("function", escape_markdown(reproduction.function, 300)),
        ("fingerprint", reproduction.fingerprint or "none"),
    ]
    if outcome.detections is not None:
        index = failure.annotation_index
        which = "" if index is None else f"; the one at fault is number {index}, counted from 0"
        facts.append(("returned", f"{counted(len(outcome.detections), 'annotation')}{which}"))
    parts = [
        f"![frame {frame.number}]({data_uri(picture)})" if picture else "",
        f"**[Open the frame in CVAT]({media.frame_url(frame)})**",
        table(["", ""], facts),
        "Run only this frame, without writing to CVAT:",
        code_block(reproduction.command(frame), 1000),
    ]
    if failure.detail.strip() and not brief:
        parts += ["The complete error:", code_block(failure.detail, 3000)]
    return "\n\n".join(part for part in parts if part)


def _image_facts(outcome: Outcome) -> str:
    size = f"{outcome.frame.width}x{outcome.frame.height}"
    return f"{size}, SHA-256 {outcome.content_hash}" if outcome.content_hash else size
