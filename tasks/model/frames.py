"""The currency of the pipeline: a frame, a batch of frames, and what became of each frame."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.text import file_name

Step = Literal["fetch", "detect", "validate", "remap", "upload"]


@frozen(kw_only=True)
class Frame:
    """One image of a CVAT task."""

    number: int
    """Frame number in the CVAT task, from 0."""
    name: str
    """File name on the CVAT server; for a video task the name of the video."""
    width: int
    """Pixels, as CVAT's data meta states it."""
    height: int
    chunk: int
    """Number of the task's chunk that holds the image."""
    job_ids: tuple[int, ...]
    """Annotation jobs that contain the frame, in order of their first frame; more than one where
    jobs overlap. The first one owns it: batches are cut by it."""

    def __str__(self) -> str:
        return f"frame {self.number} · {file_name(self.name, 80)}"


@frozen(kw_only=True)
class Batch:
    """Consecutive frames of one job and one chunk that one `detect` task run covers."""

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
    error: str
    """One sentence for a person."""
    error_type: str
    """Name of the exception's class: what failures are grouped by."""
    detail: str = ""
    """The full story for the log: a traceback, a server's answer."""
    annotation_index: int | None = None
    """Index of the annotation at fault in what the function returned, if one is."""
    final: bool = False
    """The frame gets no other attempt in this run: it would cost as much time again."""


@frozen(kw_only=True)
class Outcome:
    """What is known about a frame so far; every step takes outcomes and returns outcomes."""

    frame: Frame
    content_hash: str | None = None
    """SHA-256 of the image file's bytes as CVAT serves them, hexadecimal."""
    detections: tuple[Detection, ...] | None = None
    annotations: tuple[Annotation, ...] | None = None
    failure: Failure | None = None
    skipped: str | None = None
    """Why the frame was not annotated (deleted, ground truth, done before)."""
    cached: bool = False
    """The detections come from the cache."""
    seconds: float = 0.0
    """Wall time that detecting took, the frame's share of its batch."""
    counts: dict[str, int] = field(factory=dict)
    """What the geometry policy, mapping and thresholds did: `clipped`, `dropped`, ..."""
