"""Decide which frames to annotate, and in which batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from attrs import evolve, frozen

from cvat_flows.tasks.fetch.selection import (
    FrameSelectionError,
    check_jobs,
    list_ids,
    parse_frames,
)
from cvat_flows.tasks.model.frames import Batch, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia

FIRST_BATCH_SIZE = 12
"""Frames of a run's first batch if batches are much longer. The model is idle until all images of
the first batch are decoded."""
MAX_BATCH_PIXELS = 100_000_000
"""Pixels of a batch's images in total: 0.4 GB decoded. A few batches are in memory at a time. 36
images of 1920x1080 are below the limit, 36 of 3840x2160 are above it."""

DELETED = "deleted in CVAT"
POOL = "ground truth"
HONEYPOT = "honeypot"
NO_JOB = "in no annotation job"
ANNOTATED = "already annotated"
DONE = "done before"
SET_ASIDE = "set aside"


@frozen(kw_only=True)
class Plan:
    """Which frames are annotated, in which batches, and which are skipped."""

    batches: tuple[Batch, ...]
    skipped: tuple[Outcome, ...]
    """Selected frames that are not annotated; `Outcome.skipped` is the reason."""
    last: tuple[Batch, ...] = ()
    """Batches of one frame, to be processed when the others are uploaded; see `with_last`."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(frame for batch in (*self.batches, *self.last) for frame in batch.frames)

    @property
    def frame_count(self) -> int:
        return sum(len(batch.frames) for batch in (*self.batches, *self.last))

    @property
    def budget_base(self) -> int:
        """Number of frames to which a budget such as "10 % failed frames" refers.

        Counts the frames to annotate and those annotated before. Otherwise a run that repeats only
        the failed frames of an earlier one would have a much smaller budget.
        """
        return self.frame_count + sum(outcome.skipped == DONE for outcome in self.skipped)


def with_last(plan: Plan, numbers: Collection[int], alone: Collection[int]) -> Plan:
    """Return the plan with some frames after all others.

    Args:
        plan: The plan.
        numbers: Frames that come last among `Plan.batches`, in batches like others.
        alone: Frames that come in batches of their own, in `Plan.last`.
    """
    if not any(frame.number in numbers or frame.number in alone for frame in plan.frames):
        return plan

    def frames_of(batch: Batch, *, last: bool) -> tuple[Frame, ...]:
        together = (frame for frame in batch.frames if frame.number not in alone)
        return tuple(frame for frame in together if (frame.number in numbers) == last)

    parts = [frames_of(batch, last=last) for last in (False, True) for batch in plan.batches]
    single = [(frame,) for frame in plan.frames if frame.number in alone]
    parts = [part for part in parts if part]
    batches = [Batch(index=n, frames=part) for n, part in enumerate([*parts, *single])]
    return evolve(plan, batches=tuple(batches[: len(parts)]), last=tuple(batches[len(parts) :]))


def plan_frames(
    media: TaskMedia,
    *,
    frames_per_run: int,
    frames: str | None = None,
    jobs: Collection[int] | None = None,
    include_ground_truth: bool = False,
    annotated: Collection[int] = frozenset(),
    done: Collection[int] = frozenset(),
    set_aside: Collection[int] = frozenset(),
) -> Plan:
    """Cut the selected frames of a task into batches of about `frames_per_run`.

    A batch lies in one job and one chunk. The batches of a chunk are equally long, and up to an
    eighth longer than `frames_per_run` if that saves a batch: CVAT's own chunks have 36 or 72
    frames. The first batch of a run is shorter (FIRST_BATCH_SIZE).

    A frame that several jobs share is in one batch, the one of its first selected job.
    `Frame.job_ids` contains the selected jobs only.

    Args:
        media: The task's frames and jobs.
        frames_per_run: Frames in a batch.
        frames: Selected frames, such as "0-20,30,45-"; None for all.
        jobs: Ids of the selected jobs; None for all.
        include_ground_truth: Also annotate the ground-truth pool and honeypots.
        annotated: Frames to skip because they have annotations.
        done: Frames to skip because an earlier run annotated them.
        set_aside: Frames to skip because they failed in each of the last runs.

    Raises:
        FrameSelectionError: The selection cannot be read or selects nothing.
    """
    if frames_per_run < 1:
        raise FrameSelectionError(f"--frames-per-run is {frames_per_run}; it must be at least 1")
    numbers = parse_frames(frames, size=media.size, subject=f"task {media.task_id}")
    selected_jobs = check_jobs(media, jobs)
    selected: list[Frame] = []
    skipped: list[Outcome] = []
    for number in numbers:
        frame = media.frame(number, jobs=selected_jobs)
        if selected_jobs is not None and not frame.job_ids:
            continue
        reason = _reason_to_skip(media, frame, include_ground_truth, annotated, done, set_aside)
        if reason is None:
            selected.append(frame)
        else:
            skipped.append(Outcome(frame=frame, skipped=reason))
    if not selected and not skipped:
        raise FrameSelectionError(
            f"none of the frames {frames!r} of task {media.task_id} is in the jobs "
            f"{list_ids(selected_jobs or ())}: change --frames or --jobs"
        )
    batches = tuple(
        Batch(index=index, frames=part)
        for index, part in enumerate(_shorten_first(_cut(selected, frames_per_run)))
    )
    return Plan(batches=batches, skipped=tuple(skipped))


def _reason_to_skip(
    media: TaskMedia,
    frame: Frame,
    include_ground_truth: bool,
    annotated: Collection[int],
    done: Collection[int],
    set_aside: Collection[int],
) -> str | None:
    number = frame.number
    if number in media.deleted_frames:
        return DELETED
    if not include_ground_truth:
        if media.pool_job is not None and number in media.pool_job:
            return POOL
        if number in media.honeypot_frames:
            return HONEYPOT
    if not frame.job_ids:
        return NO_JOB
    # DONE comes before ANNOTATED: `Plan.budget_base` counts the frames that are done.
    if number in done:
        return DONE
    if number in annotated:
        return ANNOTATED
    if number in set_aside:
        return SET_ASIDE
    return None


def _cut(frames: list[Frame], frames_per_run: int) -> Iterator[tuple[Frame, ...]]:
    """Cut the frames at jobs and chunks, then into parts."""
    for _, group in groupby(frames, key=lambda frame: (frame.job_ids[0], frame.chunk)):
        yield from _even_parts(tuple(group), frames_per_run + frames_per_run // 8)


def _shorten_first(parts: Iterator[tuple[Frame, ...]]) -> Iterator[tuple[Frame, ...]]:
    first = next(parts, ())
    if len(first) >= 4 * FIRST_BATCH_SIZE:
        yield first[:FIRST_BATCH_SIZE]
        first = first[FIRST_BATCH_SIZE:]
    if first:
        yield first
    yield from parts


def _even_parts(frames: tuple[Frame, ...], max_size: int) -> Iterator[tuple[Frame, ...]]:
    """Cut into as few parts of at most `max_size` frames as possible, equally long."""
    parts = -(-len(frames) // max_size)
    size, longer = divmod(len(frames), parts)
    begin = 0
    for part in range(parts):
        end = begin + size + (part < longer)
        yield from _limit_pixels(frames[begin:end])
        begin = end


def _limit_pixels(frames: tuple[Frame, ...]) -> Iterator[tuple[Frame, ...]]:
    """Cut where the images together would exceed MAX_BATCH_PIXELS."""
    begin = pixels = 0
    for index, frame in enumerate(frames):
        size = frame.width * frame.height
        if index > begin and pixels + size > MAX_BATCH_PIXELS:
            yield frames[begin:index]
            begin, pixels = index, 0
        pixels += size
    yield frames[begin:]
