"""The options of an annotate-task run.

Each option is documented here once. The Prefect UI builds its form from this model, and the
command line builds its flags and its help from it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from attrs import evolve
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aa_functions.reference import FunctionReference
from cvat_flows.flows.form import advanced_model
from cvat_flows.flows.function_fields import (
    DEFAULT_FUNCTION,
    FunctionName,
    FunctionParameters,
    ServerBlock,
)
from cvat_flows.flows.option import Option, fields_without_result

FAILURES_ALLOWED_BY_A_SHARE = 10
"""Failed frames that any share in `max_failed_frames` allows. A few bad images do not mean that
something is wrong with the whole run, even if the task is small."""

_OWN_ARGUMENT = Option(has_own_argument=True, changes_result=False, is_essential=True)
_RUN = Option(group="run", changes_result=False)
_FRAMES = Option(group="frames", changes_result=False)
_DETECTIONS = Option(group="detections")
_LABELS = Option(group="labels")
_TIMEOUT = Option(group="detections", changes_result=False)
_GEOMETRY = Literal["keep", "clip", "drop", "fail"]
_EXISTING = Option(group="existing annotations", changes_result=False)


class AnnotateTaskParameters(BaseModel):
    """What to annotate, with which function, and how.

    >>> parameters = AnnotateTaskParameters(task_id=12, frames="0-99", max_failed_frames=0.1)
    >>> parameters.failed_frames_allowed(2000)
    200
    >>> parameters.failed_frames_allowed(6)
    10
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "What to annotate, with which function, and how."},
    )

    task_id: Annotated[int, _OWN_ARGUMENT] = Field(
        title="CVAT task", ge=1, description="Id of the CVAT task"
    )
    function: Annotated[FunctionName, _OWN_ARGUMENT] = Field(
        title="AA function", default=DEFAULT_FUNCTION
    )
    conf_threshold: Annotated[
        float | None, evolve(_DETECTIONS, is_essential=True, metavar="SCORE")
    ] = Field(
        title="Confidence threshold",
        default=None,
        ge=0,
        le=1,
        description="Confidence threshold passed to the function, which drops detections below it",
    )
    label_mapping: Annotated[dict[str, Any] | None, evolve(_LABELS, is_essential=True)] = Field(
        title="Label mapping",
        default=None,
        description="Map the function's labels to the task's labels where their names differ; see "
        "docs/matching.md",
    )
    existing: Annotated[
        Literal["keep", "replace", "clear"], evolve(_EXISTING, is_essential=True)
    ] = Field(
        title="Existing annotations",
        default="keep",
        description="What to do with existing annotations on the annotated frames: keep them; "
        "replace those that this function created and nobody has changed; or clear all of them",
    )
    dry_run: Annotated[bool, evolve(_RUN, is_essential=True)] = Field(
        title="Dry run", default=False, description="Do everything except write to CVAT"
    )
    function_parameters: Annotated[FunctionParameters, _OWN_ARGUMENT] = Field(
        title="Function parameters", default_factory=dict
    )
    server: Annotated[ServerBlock, evolve(_RUN, is_essential=True, metavar="BLOCK")] = Field(
        title="CVATServer block", default=None
    )
    function_name: Annotated[str | None, evolve(_RUN, metavar="NAME")] = Field(
        title="Name of the function in records",
        default=None,
        min_length=1,
        description="What the record of uploads calls the function. Empty: the name of its module, "
        "or of its file with a hash of the path. Give it if a file moves; see docs/functions.md.",
    )
    allow_unmatched_labels: Annotated[bool, _LABELS] = Field(
        title="Allow unmatched labels",
        default=False,
        description="Accept a function that declares labels, sublabels or attributes that the task "
        "lacks; detections that use them are dropped",
    )
    conv_mask_to_poly: Annotated[bool, _DETECTIONS] = Field(
        title="Convert masks to polygons",
        default=False,
        description="Ask the function to convert masks to polygons",
    )
    label_thresholds: Annotated[dict[str, float] | None, _LABELS] = Field(
        title="Minimum score by label",
        default=None,
        description="Minimum score for each label of the function ('*': all other labels). Can be "
        "changed without running the model again.",
    )
    geometry: Annotated[_GEOMETRY, _DETECTIONS] = Field(
        title="Shapes outside the image or without area",
        default="keep",
        description="What to do with shapes that leave the image, are inverted or have no area: "
        "keep, clip or drop them, or fail the frame",
    )
    missing_keypoints: Annotated[Literal["error", "outside"], _DETECTIONS] = Field(
        title="Missing keypoints",
        default="error",
        description="What to do with a skeleton that lacks keypoints: fail the frame (error), or "
        "add the missing keypoints as outside (outside)",
    )
    max_shapes_per_frame: Annotated[int | None, evolve(_DETECTIONS, metavar="NUMBER")] = Field(
        title="Maximum annotations on a frame",
        default=10_000,
        ge=1,
        description="Fail a frame that has more annotations than this. Empty: no limit.",
    )
    detect_timeout: Annotated[float | None, evolve(_TIMEOUT, metavar="SECONDS")] = Field(
        title="Time limit of one detection, in seconds",
        default=1800,
        gt=0,
        description="Maximum duration in seconds of one call of the function, including its first "
        "use. A frame that takes longer fails. Empty: no limit.",
    )
    clear_existing: Annotated[
        bool, Option(group="existing annotations", changes_result=False, is_alias=True)
    ] = Field(
        title="Clear existing annotations", default=False, description="Same as existing=clear"
    )
    frames: Annotated[str | None, evolve(_FRAMES, metavar="RANGES")] = Field(
        title="Frames",
        default=None,
        description="Numbers of the frames to annotate, for example '0-20,30,45-'. Empty: all.",
    )
    jobs: Annotated[list[int] | None, evolve(_FRAMES, metavar="ID")] = Field(
        title="Jobs",
        default=None,
        description="Ids of the jobs to annotate. Empty: all, except consensus replicas.",
    )
    only_unannotated: Annotated[bool, _FRAMES] = Field(
        title="Only frames without annotations",
        default=False,
        description="Annotate only frames that have no tag, no shape and no visible track",
    )
    renew: Annotated[bool, _FRAMES] = Field(
        title="Renew annotations of an earlier version",
        default=False,
        description="With only_unannotated: also annotate frames that an earlier version of this "
        "function, or this function with other options, has annotated",
    )
    fresh: Annotated[bool, _FRAMES] = Field(
        title="Detect again on every frame",
        default=False,
        description="Detect again on every frame, also where the frame was annotated before or its "
        "detections are cached. As after a change of the function, existing=keep adds only what "
        "differs, and existing=replace replaces the earlier annotations.",
    )
    include_ground_truth: Annotated[bool, _FRAMES] = Field(
        title="Include ground truth and honeypots",
        default=False,
        description="Also annotate ground-truth and honeypot frames",
    )
    max_failed_frames: Annotated[float, evolve(_RUN, metavar="SHARE|COUNT")] = Field(
        title="Limit of failed frames",
        default=0.1,
        ge=0,
        description="Stop and upload no further job if more frames than this fail: a share (0.1), "
        f"which always allows {FAILURES_ALLOWED_BY_A_SHARE} failed frames, or a count (5). 0: all "
        "frames or none, the run stops at the first failed frame.",
    )
    upload: Annotated[Literal["when_ready", "at_end"], _RUN] = Field(
        title="When to upload",
        default="when_ready",
        description="When to upload a job: as soon as its frames are done, or after the last frame "
        "of the run. With --max-failed-frames 0 always at the end.",
    )
    frames_per_run: Annotated[int, evolve(_RUN, metavar="FRAMES")] = Field(
        title="Frames in one detect run",
        default=72,
        ge=1,
        le=1000,
        description="Number of frames in one detect task run. Without a Prefect server, a function "
        "that takes one image at a time gets batches of 18 unless this is given.",
    )
    use_cache: Annotated[bool, _RUN] = Field(
        title="Use cached detections",
        default=True,
        description="Reuse cached detections of the same function on the same image",
    )
    split: Annotated[Literal["jobs"] | None, _RUN] = Field(
        title="Split between workers",
        default=None,
        description="jobs: let other workers detect on the task's later jobs at the same time. The "
        "result is the same. Needs the deployment detect-jobs and storage shared by all workers.",
    )
    split_runs: Annotated[int, evolve(_RUN, metavar="RUNS")] = Field(
        title="Number of helper runs",
        default=3,
        ge=1,
        le=100,
        description="With split: maximum number of other flow runs",
    )
    wait_for_writer: Annotated[float, evolve(_RUN, metavar="SECONDS")] = Field(
        title="Seconds to wait for another run",
        default=600,
        ge=0,
        description="Seconds to wait while another run writes to the same CVAT task",
    )

    @model_validator(mode="after")
    def _merge_clear_existing(self) -> AnnotateTaskParameters:
        if self.clear_existing:
            if self.existing == "replace":
                raise ValueError("clear_existing contradicts existing='replace': choose one")
            self.existing = "clear"
        return self

    def failed_frames_allowed(self, frames: int) -> int:
        """Return how many of `frames` frames may fail before the run stops."""
        if 0 < self.max_failed_frames < 1:
            return max(int(self.max_failed_frames * frames), FAILURES_ALLOWED_BY_A_SHARE)
        return int(self.max_failed_frames)

    @property
    def upload_at_end(self) -> bool:
        """Whether nothing is uploaded before the last frame is done."""
        return self.upload == "at_end" or self.max_failed_frames == 0

    def result_digest(self) -> str:
        """Return a digest of the options that decide a frame's annotations.

        What the function is made of does not count: it is part of the function's fingerprint.
        """
        options = self.model_dump(mode="json", exclude=fields_without_result(type(self)))
        return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def reference(self) -> FunctionReference:
        """Where to load the function from."""
        return FunctionReference.named(
            self.function, self.function_parameters, function_name=self.function_name
        )

    @property
    def short_name(self) -> str:
        """`yolov8n` of `aa_functions.yolov8n`, `mine` of `some/where/mine.py`."""
        if self.function.endswith(".py"):
            return self.function.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
        return self.function.rpartition(".")[2]


AdvancedOptions = advanced_model(AnnotateTaskParameters, "AdvancedOptions", __name__)
"""The options of the flow's parameter `advanced`."""
