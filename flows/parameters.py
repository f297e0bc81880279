"""The options of annotating, documented once: the Prefect UI's form and the command line's help
are made from this model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aa_functions.reference import FunctionReference

FunctionName = Annotated[
    str,
    Field(
        min_length=1,
        description="AA function: the qualified name of a Python module, or the path of a file "
        "that ends in .py",
    ),
]
FunctionParameters = Annotated[
    dict[str, Any], Field(description="Parameters for the function's create(...)")
]
ServerBlock = Annotated[
    str | None,
    Field(
        description="Name of the CVATServer block; empty: the worker's environment, then the "
        "block 'default', then the default profile of cvat-cli"
    ),
]
DEFAULT_FUNCTION = "aa_functions.yolov8n"


class AnnotateTaskParameters(BaseModel):
    """What to annotate, with which function, and how."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = Field(ge=1, description="Id of the CVAT task")
    function: FunctionName = DEFAULT_FUNCTION
    function_parameters: FunctionParameters = Field(default_factory=dict)
    server: ServerBlock = None
    conf_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Confidence threshold that the function filters its detections with",
    )
    allow_unmatched_labels: bool = Field(
        default=False,
        description="Allow the function to declare labels, sublabels and attributes that the task "
        "does not have; what uses them is dropped",
    )
    conv_mask_to_poly: bool = Field(
        default=False, description="Ask the function to convert masks to polygons"
    )
    label_mapping: dict[str, Any] | None = Field(
        default=None,
        description="How the function's labels map to the task's, where names differ; see "
        "docs/matching.md",
    )
    label_thresholds: dict[str, float] | None = Field(
        default=None,
        description="Lowest score by label of the function ('*' for the rest); changing it runs "
        "no model again",
    )
    geometry: Literal["keep", "clip", "drop", "fail"] = Field(
        default="keep",
        description="What to do with shapes that leave the image, are inverted or have no area",
    )
    missing_keypoints: Literal["error", "outside"] = Field(
        default="error",
        description="A skeleton without all its keypoints: fail the frame, or add the missing "
        "ones as outside",
    )
    max_shapes_per_frame: int | None = Field(
        default=10_000,
        ge=1,
        description="More annotations than this fail the frame; null: any number is right",
    )
    detect_timeout: float | None = Field(
        default=1800,
        gt=0,
        description="Seconds that one call of the function may take, its start included; a frame "
        "that takes longer on its own fails; null: any time",
    )
    existing: Literal["keep", "replace", "clear"] = Field(
        default="keep",
        description="Annotations that are there: keep them; replace those that this function put "
        "there and nobody has changed; or clear everything on the annotated frames",
    )
    clear_existing: bool = Field(default=False, description="The same as existing='clear'")
    frames: str | None = Field(
        default=None, description="Frame numbers to annotate, for example '0-20,30,45-'; empty: all"
    )
    jobs: list[int] | None = Field(
        default=None, description="Ids of the jobs to annotate; empty: all"
    )
    only_unannotated: bool = Field(
        default=False, description="Only frames that have no tag and no shape yet"
    )
    renew: bool = Field(
        default=False,
        description="With only_unannotated: also frames that this function has annotated before, "
        "as another version or with other options",
    )
    include_ground_truth: bool = Field(
        default=False, description="Annotate ground-truth and honeypot frames, too"
    )
    max_failed_frames: float = Field(
        default=0.1,
        ge=0,
        description="How many frames may fail: below 1 a share of the frames, from 1 on a number. "
        "With more nothing is uploaded. 0: the first failed frame stops the run",
    )
    frames_per_run: int = Field(
        default=72, ge=1, le=1000, description="Frames that one detect task run covers"
    )
    use_cache: bool = Field(
        default=True,
        description="Use detections that an earlier run of the same function on the same image "
        "left behind",
    )
    dry_run: bool = Field(default=False, description="Do everything but write to CVAT")
    split: Literal["jobs"] | None = Field(
        default=None,
        description="jobs: have other workers detect on the task's later jobs at the same time; "
        "the result is the same. Needs the deployment detect-jobs, and storage that the workers "
        "share",
    )
    split_runs: int = Field(
        default=3, ge=1, le=100, description="With split: how many other flow runs at most"
    )
    wait_for_writer: float = Field(
        default=600,
        ge=0,
        description="Seconds to wait for another run that writes to the same CVAT task",
    )

    @model_validator(mode="after")
    def _clear_is_one_thing(self) -> AnnotateTaskParameters:
        if self.clear_existing:
            if self.existing == "replace":
                raise ValueError("clear_existing=True contradicts existing='replace': choose one")
            self.existing = "clear"
        return self

    def failed_frames_allowed(self, frames: int) -> int:
        """How many of `frames` frames may fail before the run is stopped."""
        if self.max_failed_frames < 1:
            return int(self.max_failed_frames * frames)
        return int(self.max_failed_frames)

    @property
    def reference(self) -> FunctionReference:
        """Where the function is found."""
        return FunctionReference.named(self.function, self.function_parameters)

    @property
    def function_name(self) -> str:
        """`yolov8n` of `aa_functions.yolov8n`, `mine` of `some/where/mine.py`."""
        if self.function.endswith(".py"):
            return self.function.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
        return self.function.rpartition(".")[2]
