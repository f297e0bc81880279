"""Make what a run needs from its context: the plan of its frames, and what its steps share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.unknown_inputs import warn_of_missing_input
from cvat_flows.tasks.check.remap import RemapOptions
from cvat_flows.tasks.check.validate import ValidationOptions
from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.detect.cache_writer import CacheWriter
from cvat_flows.tasks.detect.call_notes import CallNotes
from cvat_flows.tasks.detect.content_index import ContentIndex
from cvat_flows.tasks.detect.context import CallOptions
from cvat_flows.tasks.detect.present import PresentAnnotations
from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.fetch.plan import Plan, with_last
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import plan_frames

SHORT_BATCH_SIZE = 18
"""Frames of a batch that need not be long: a quarter or a half of CVAT's own chunks."""


class NeedsAnnotations(CvatFlowsError):
    """The function needs what is on the frames, which this kind of run does not pass on."""


def open_notes(context: RunContext) -> CallNotes:
    """Read which frames an earlier process did not survive."""
    notes = CallNotes(
        context.storage,
        context.media,
        context.function.fingerprint or context.function.name,
        forgive=context.parameters.fresh,
        trusting=context.live.include_done,
    )
    for frames, how in ((notes.once, "last"), (notes.twice, "last, one by one")):
        if frames:
            run_logger().warning(
                "An earlier run of %r died while the function had %s: they come %s.",
                context.function.title,
                counted(len(frames), "frame"),
                how,
            )
    return notes


def make_plan(
    context: RunContext,
    notes: CallNotes,
    *,
    annotated: Collection[int] = frozenset(),
    done: Collection[int] = frozenset(),
    set_aside: Collection[int] = frozenset(),
) -> Plan:
    """Decide which frames to annotate, in which batches.

    Args:
        context: The run.
        notes: Tell which frames come last.
        annotated: Frames to skip because they have annotations.
        done: Frames to skip because this function has annotated them.
        set_aside: Frames to skip because they failed in each of the last runs.
    """
    parameters = context.parameters
    plan = plan_frames(
        context.media,
        frames_per_run=_frames_per_run(context),
        frames=parameters.frames or context.live.default_frames(context.media, parameters.jobs),
        jobs=parameters.jobs,
        include_ground_truth=parameters.include_ground_truth,
        annotated=annotated,
        done=frozenset() if context.live.include_done else done,
        set_aside=frozenset() if context.live.include_done else set_aside,
    )
    return with_last(plan, notes.once, notes.twice)


def make_run(
    context: RunContext,
    batches: Sequence[Batch],
    notes: CallNotes,
    pictures: RunPictures | None = None,
    forget_version: Callable[[str], None] | None = None,
    present: PresentAnnotations | None = None,
) -> AnnotationRun:
    """Make what the task runs share. Images are fetched in the order of `batches`.

    Args:
        context: The run.
        batches: What is to be detected on.
        notes: Where the run notes which frames are with the function.
        pictures: Collects pictures for the reports.
        forget_version: See `AnnotationRun.forget_version`. By default it is logged.
        present: What is on the frames, for a function that needs that.

    Raises NeedsAnnotations if the function needs what is on the frames, and `present` is missing.
    """
    if context.function.needs_annotations and present is None:
        raise NeedsAnnotations(
            f"the function {context.function.title!r} needs what is on the frames already, which "
            "only a run that annotates them passes on: use `cvat-flows annotate`"
        )
    watched = context.function.watched
    parameters, media, strict = context.parameters, context.media, context.live.strict
    cache = _open_cache(context, present)
    known = None if parameters.fresh else cache
    content = ContentIndex(context.storage, media) if known else None
    return AnnotationRun(
        client=context.client,
        media=media,
        match=context.match,
        source=FrameSource(context.client, media, batches, cache=known, content=content),
        cache=CacheWriter(cache) if cache else None,
        validation=ValidationOptions(
            geometry=parameters.geometry,
            missing_keypoints=parameters.missing_keypoints,
            max_shapes_per_frame=parameters.max_shapes_per_frame,
            task_size=media.size,
        ),
        remapping=RemapOptions(label_thresholds=parameters.label_thresholds or {}),
        runner=FunctionRunner(
            context.function.function,
            options=_call_options(parameters),
            max_shapes_per_frame=parameters.max_shapes_per_frame,
            detect_timeout=parameters.detect_timeout,
            strict=strict,
            observing=watched.observing if watched else nullcontext,
            present=present,
        ),
        strict=strict,
        watched=watched,
        forget_version=forget_version or partial(warn_of_missing_input, context.function),
        present=present,
        notes=notes,
        pictures=pictures,
    )


def _frames_per_run(context: RunContext) -> int:
    """Return the number of frames in a batch.

    Long batches save task runs, and calls of `detect_batch`. If the run has neither, they cost only
    memory, and the time to get it from the system.
    """
    parameters = context.parameters
    is_given = "frames_per_run" in parameters.model_fields_set
    takes_batches = callable(getattr(context.function.function, "detect_batch", None))
    if is_given or takes_batches or current_engine().is_recorded:
        return parameters.frames_per_run
    return SHORT_BATCH_SIZE


def _call_options(parameters: AnnotateTaskParameters) -> CallOptions:
    return CallOptions(
        conf_threshold=parameters.conf_threshold, conv_mask_to_poly=parameters.conv_mask_to_poly
    )


def _open_cache(context: RunContext, present: PresentAnnotations | None) -> DetectionCache | None:
    """Open the cache of detections, if the options allow it and the function has a fingerprint."""
    parameters, function = context.parameters, context.function
    if function.fingerprint is None or not parameters.use_cache:
        return None
    return DetectionCache(
        context.storage,
        fingerprint=function.fingerprint,
        options=_call_options(parameters),
        image_only=function.image_only,
        title=function.label,
        present=present,
    )
