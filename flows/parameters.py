"""The options of an annotate-task run.

Each option is documented here once. The Prefect UI builds its form from this model, and the
command line builds its flags and its help from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aa_functions.reference import FunctionReference

FunctionName = Annotated[
    str,
    Field(
        min_length=1,
        description="AA function: the qualified name of a Python module, or the path of a .py file",
    ),
]
FunctionParameters = Annotated[
    dict[str, Any], Field(description="Arguments for the function's create(...)")
]
ServerBlock = Annotated[
    str | None,
    Field(
        description="Name of the CVATServer block. Empty: use the worker's CVAT_* variables, else "
        "the block 'default', else the default profile of cvat-cli."
    ),
]
DEFAULT_FUNCTION = "aa_functions.yolov8n"


class AnnotateTaskParameters(BaseModel):
    """What to annotate, with which function, and how.

    >>> parameters = AnnotateTaskParameters(task_id=12, frames="0-99", max_failed_frames=0.1)
    >>> parameters.failed_frames_allowed(100)
    10
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"description": "What to annotate, with which function, and how."},
    )

    task_id: int = Field(ge=1, description="Id of the CVAT task")
    function: FunctionName = DEFAULT_FUNCTION
    function_parameters: FunctionParameters = Field(default_factory=dict)
    server: ServerBlock = None
    conf_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Confidence threshold passed to the function, which drops detections below it",
    )
    allow_unmatched_labels: bool = Field(
        default=False,
        description="Accept a function that declares labels, sublabels or attributes that the task "
        "lacks; detections that use them are dropped",
    )
    conv_mask_to_poly: bool = Field(
        default=False, description="Ask the function to convert masks to polygons"
    )
    label_mapping: dict[str, Any] | None = Field(
        default=None,
        description="Map the function's labels to the task's labels where their names differ; see "
        "docs/matching.md",
    )
    label_thresholds: dict[str, float] | None = Field(
        default=None,
        description="Minimum score for each label of the function ('*': all other labels). Can be "
        "changed without running the model again.",
    )
    geometry: Literal["keep", "clip", "drop", "fail"] = Field(
        default="keep",
        description="What to do with shapes that leave the image, are inverted or have no area: "
        "keep, clip or drop them, or fail the frame",
    )
    missing_keypoints: Literal["error", "outside"] = Field(
        default="error",
        description="What to do with a skeleton that lacks keypoints: fail the frame (error), or "
        "add the missing keypoints as outside (outside)",
    )
    max_shapes_per_frame: int | None = Field(
        default=10_000,
        ge=1,
        description="Fail a frame that has more annotations than this; null: no limit",
    )
    detect_timeout: float | None = Field(
        default=1800,
        gt=0,
        description="Maximum duration in seconds of one call of the function, including its first "
        "use. A frame that takes longer fails; null: no limit.",
    )
    existing: Literal["keep", "replace", "clear"] = Field(
        default="keep",
        description="What to do with existing annotations on the annotated frames: keep them; "
        "replace those that this function created and nobody has changed; or clear all of them",
    )
    clear_existing: bool = Field(default=False, description="Same as existing='clear'")
    frames: str | None = Field(
        default=None,
        description="Numbers of the frames to annotate, for example '0-20,30,45-'. Empty: all.",
    )
    jobs: list[int] | None = Field(
        default=None, description="Ids of the jobs to annotate. Empty: all."
    )
    only_unannotated: bool = Field(
        default=False, description="Annotate only frames that have no tag and no shape"
    )
    renew: bool = Field(
        default=False,
        description="With only_unannotated: also annotate frames that an earlier version of this "
        "function, or this function with other options, has annotated",
    )
    include_ground_truth: bool = Field(
        default=False, description="Also annotate ground-truth and honeypot frames"
    )
    max_failed_frames: float = Field(
        default=0.1,
        ge=0,
        description="Upload nothing if more frames than this fail: a share (0.1) or a count (5). "
        "0: stop at the first failed frame.",
    )
    frames_per_run: int = Field(
        default=72, ge=1, le=1000, description="Number of frames in one detect task run"
    )
    use_cache: bool = Field(
        default=True,
        description="Reuse cached detections of the same function on the same image",
    )
    dry_run: bool = Field(default=False, description="Do everything except write to CVAT")
    split: Literal["jobs"] | None = Field(
        default=None,
        description="jobs: let other workers detect on the task's later jobs at the same time. The "
        "result is the same. Needs the deployment detect-jobs and storage shared by all workers.",
    )
    split_runs: int = Field(
        default=3, ge=1, le=100, description="With split: maximum number of other flow runs"
    )
    wait_for_writer: float = Field(
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
        if self.max_failed_frames < 1:
            return int(self.max_failed_frames * frames)
        return int(self.max_failed_frames)

    @property
    def reference(self) -> FunctionReference:
        """Where to load the function from."""
        return FunctionReference.named(self.function, self.function_parameters)

    @property
    def function_name(self) -> str:
        """`yolov8n` of `aa_functions.yolov8n`, `mine` of `some/where/mine.py`."""
        if self.function.endswith(".py"):
            return self.function.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
        return self.function.rpartition(".")[2]
