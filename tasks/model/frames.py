"""The values that steps pass on: frames, batches of frames, and the outcome of each frame."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.text import clean, on_one_line, shorten_name

Step = Literal["fetch", "detect", "validate", "remap", "upload"]


@frozen(kw_only=True)
class Frame:
    """One image of a CVAT task."""

    number: int
    """Frame number in the CVAT task, from 0."""
    name: str
    """File name on the CVAT server; for a video, the name of the video."""
    width: int
    """Pixels, according to CVAT's data meta."""
    height: int
    chunk: int
    """Number of the chunk that contains the image."""
    job_ids: tuple[int, ...]
    """Annotation jobs that contain the frame, sorted by first frame. There are several where jobs
    overlap; the first one decides which batch the frame is in."""

    def __str__(self) -> str:
        return f"frame {self.number} · {shorten_name(self.name, 80)}"


@frozen(kw_only=True)
class Batch:
    """Consecutive frames of one job and one chunk, processed by one `detect` task run."""

    index: int
    """Position in the plan, from 0."""
    frames: tuple[Frame, ...]

    @property
    def job_id(self) -> int:
        return self.frames[0].job_ids[0]

    @property
    def chunk(self) -> int:
        return self.frames[0].chunk

    def __str__(self) -> str:
        first, last = self.frames[0].number, self.frames[-1].number
        frames = f"frame {first}" if first == last else f"frames {first}-{last}"
        return f"{frames} · job {self.job_id}"


@frozen(kw_only=True)
class Failure:
    """Why a frame failed."""

    step: Step
    error: str = field(converter=on_one_line)
    """One sentence for a person."""
    error_type: str = field(converter=on_one_line)
    """Class name of the exception. Reports group failures by it."""
    detail: str = field(default="", converter=clean)
    """Details for the log: a traceback, or the server's answer."""
    annotation_index: int | None = None
    """Index, in the function's output, of the annotation that caused the failure, if any."""
    final: bool = False
    """Do not try the frame again in this run: another attempt would end in the same way, or take as
    long again."""


@frozen(kw_only=True)
class Outcome:
    """What is known about a frame so far. Every step takes and returns outcomes."""

    frame: Frame
    content_hash: str | None = None
    """SHA-256 of the image file as CVAT serves it, in hexadecimal."""
    present: str = ""
    """Digest of what was on the frame before, if the function needs that."""
    detections: tuple[Detection, ...] | None = None
    annotations: tuple[Annotation, ...] | None = None
    failure: Failure | None = None
    skipped: str | None = None
    """Why the frame was skipped: deleted, ground truth, or already annotated."""
    cached: bool = False
    """The detections come from the cache."""
    seconds: float = 0.0
    """Wall time of detection: the frame's share of its batch."""
    counts: dict[str, int] = field(factory=dict)
    """How many annotations the geometry policy, the mapping and the thresholds changed or left
    out, by key: `clipped`, `dropped`, ..."""
