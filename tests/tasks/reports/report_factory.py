"""Reports, outcomes and pictures for tests, without a server."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome, Step
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import JobRange, TaskMedia
from cvat_flows.tasks.reports.frame_page import Reproduction
from cvat_flows.tasks.reports.run_report import RunReport
from tests.support.identity import task_number

HOSTILE = (
    "a|b||c.jpg",
    "`code` ``x`` ```y```.jpg",
    "line\nbreak\r\nand\ttab.jpg",
    "<script>alert(1)</script>.jpg",
    "<img src=x onerror=alert(1)>",
    "[text](http://evil.example/x) ![p](http://evil.example/p.png)",
    "http://evil.example/a www.evil.example me@evil.example",
    "../../../etc/passwd",
    "\u202egpj.exe\u2066",
    "**bold** _it_ ~~no~~ # h > q - l 1. n",
    "&lt;b&gt; &amp; &#124; &copy;",
    "\\| \\` \\",
    "x" * 3000,
    "\ud800\udfff lone.jpg",
    "nul\x00esc\x1b[31m.jpg",
    "{{content}} {{title}} {frame} %s",
    "</script><!-- ",
    "שלום.jpg",
    "=1+1",
    "",
)
"""Names and texts that an attacker or a careless person could choose."""

LABELS = tuple(
    Label(id=10 + n, name=name, type="any", attributes=(), sublabels=())
    for n, name in enumerate(("car", "person", "<b>|`x`"))
)


def media_of(names: Sequence[str], *, task: str = "street-cams-04") -> TaskMedia:
    return TaskMedia(
        host="https://cvat.example.com",
        identity=task_number(123),
        updated=task_number(1).created,
        name=task,
        size=len(names),
        chunk_size=36,
        chunk_type="imageset",
        data_id=1,
        chunks_updated_date="",
        project_name=None,
        jobs=(JobRange(id=7, first=0, last=max(0, len(names) - 1)),),
        names=tuple(names),
        sizes=((640, 480),) * len(names),
    )


def names_of(count: int) -> list[str]:
    return [f"img_{n:05d}.jpg" for n in range(count)]


def report_of(media: TaskMedia, outcomes: Sequence[Outcome], **facts: object) -> RunReport:
    report = RunReport(
        media=media,
        function="yolov8n",
        fingerprint="f" * 64,
        labels=LABELS,
        **facts,  # type: ignore[arg-type]
    )
    report.add(outcomes)
    report.finish()
    return report


def annotated(frame: Frame, count: int = 2, *, score: float | None = 0.5) -> Outcome:
    return Outcome(
        frame=frame,
        annotations=tuple(
            Annotation(
                type="rectangle",
                label_id=LABELS[n % len(LABELS)].id,
                frame=frame.number,
                points=(10.0, 10.0, 100.0, 100.0),
                score=score,
            )
            for n in range(count)
        ),
    )


def failed(
    frame: Frame,
    error: str = "it went wrong",
    *,
    step: Step = "detect",
    error_type: str = "ValueError",
    detail: str = "",
    detections: tuple[Detection, ...] | None = None,
    at: int | None = None,
) -> Outcome:
    return Outcome(
        frame=frame,
        detections=detections,
        failure=Failure(
            step=step, error=error, error_type=error_type, detail=detail, annotation_index=at
        ),
    )


def rectangle(*points: float, label: int = 0, score: float | None = None) -> Detection:
    return Detection(type="rectangle", label_id=label, points=points, score=score)


def reproduction() -> Reproduction:
    return Reproduction(
        function="aa_functions.yolov8n",
        fingerprint="f" * 64,
        command=lambda frame: f"cvat-flows preview 123 --frames {frame.number}",
    )


def noise(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Make a picture that compresses badly."""
    return Image.effect_noise(size, 90).convert("RGB")
