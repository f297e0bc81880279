"""Make the parts of a run from its parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cvat_sdk import Client

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.check.remap import RemapOptions
from cvat_flows.tasks.check.validate import ValidationOptions
from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.detect.cache_writer import CacheWriter
from cvat_flows.tasks.detect.content_index import ContentIndex
from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import match_spec, plan_frames
from cvat_flows.tasks.storage import Storage

Caches = tuple[DetectionCache | None, ContentIndex | None]
"""The cache of detections, and the index of the images' content hashes."""


def match_labels(
    function: LoadedFunction, labels: Sequence[Label], parameters: AnnotateTaskParameters
) -> SpecMatch:
    """Match the function's labels with the task's. Raises SpecMismatch."""
    return match_spec(
        function,
        labels,
        parameters.label_thresholds or {},
        {
            "allow_unmatched_labels": parameters.allow_unmatched_labels,
            "conv_mask_to_poly": parameters.conv_mask_to_poly,
            "mapping": load_mapping(parameters.label_mapping),
        },
    )


def make_plan(
    media: TaskMedia,
    parameters: AnnotateTaskParameters,
    *,
    default_frames: str | None = None,
    annotated: Collection[int] = frozenset(),
    done: Collection[int] = frozenset(),
) -> Plan:
    """Decide which frames to annotate, in which batches.

    Args:
        default_frames: Frames to annotate if the parameters name none. None: all.
        annotated: Frames to skip because they have annotations.
        done: Frames to skip because this function has annotated them.
    """
    return plan_frames(
        media,
        {
            "frames": parameters.frames or default_frames,
            "jobs": parameters.jobs,
            "frames_per_run": parameters.frames_per_run,
            "include_ground_truth": parameters.include_ground_truth,
            "annotated": annotated,
            "done": done,
        },
    )


def make_run(
    client: Client,
    media: TaskMedia,
    function: LoadedFunction,
    match: SpecMatch,
    parameters: AnnotateTaskParameters,
    *,
    batches: Sequence[Batch],
    caches: Caches,
    strict: bool = False,
) -> AnnotationRun:
    """Make what the task runs share. Images are fetched in the order of `batches`."""
    cache, content = caches
    return AnnotationRun(
        client=client,
        media=media,
        match=match,
        source=FrameSource(client, media, batches, cache=cache, content=content),
        cache=CacheWriter(cache) if cache else None,
        validation=ValidationOptions(
            geometry=parameters.geometry,
            missing_keypoints=parameters.missing_keypoints,
            max_shapes_per_frame=parameters.max_shapes_per_frame,
            task_size=media.size,
        ),
        remapping=RemapOptions(label_thresholds=parameters.label_thresholds or {}),
        runner=FunctionRunner(
            function.function,
            conf_threshold=parameters.conf_threshold,
            conv_mask_to_poly=parameters.conv_mask_to_poly,
            max_shapes_per_frame=parameters.max_shapes_per_frame,
            detect_timeout=parameters.detect_timeout,
            strict=strict,
        ),
        strict=strict,
    )


def make_caches(
    storage: Storage,
    media: TaskMedia,
    function: LoadedFunction,
    parameters: AnnotateTaskParameters,
) -> Caches:
    """Open the caches, if the parameters allow them and the function has a fingerprint."""
    if function.fingerprint is None or not parameters.use_cache:
        return None, None
    cache = DetectionCache(
        storage,
        fingerprint=function.fingerprint,
        parameters={
            "conf_threshold": parameters.conf_threshold,
            "conv_mask_to_poly": parameters.conv_mask_to_poly,
        },
        title=function.title,
    )
    return cache, ContentIndex(storage, media)
