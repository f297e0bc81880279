"""Decide which frames are annotated, and in which batches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import groupby

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia

DEFAULT_FRAMES_PER_RUN = 72
FIRST_BATCH = 12
"""Frames of a run's first batch where batches are much longer: the model has nothing to do until
all of its images are decoded."""
MAX_BATCH_PIXELS = 100_000_000
"""Pixels of a batch's images together: 0.4 GB decoded, and a few batches are under way at a time.
36 pictures of 1920x1080 stay below, 36 of 3840x2160 do not."""

DELETED = "deleted in CVAT"
POOL = "ground truth"
HONEYPOT = "honeypot"
NO_JOB = "in no annotation job"
ANNOTATED = "has annotations"
DONE = "done before"

_RANGE = re.compile(r"(?P<first>\d+)(?P<dash>\s*-\s*)?(?P<last>\d+)?", re.ASCII)


class FrameSelectionError(CvatFlowsError):
    """The frames or jobs that were asked for do not exist or are not well written."""


@frozen(kw_only=True)
class Plan:
    """Which frames are annotated, in which batches, and which were left out."""

    batches: tuple[Batch, ...]
    skipped: tuple[Outcome, ...]
    """A frame that was asked for and will not be annotated; `skipped` says why."""

    @property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(frame for batch in self.batches for frame in batch.frames)

    @property
    def frame_count(self) -> int:
        return sum(len(batch.frames) for batch in self.batches)

    @property
    def frames_of_share(self) -> int:
        """What a share of failed frames is a share of: the frames to do and those done before.

        So a run that has only the failed frames of an earlier one left may fail as many of them.
        """
        return self.frame_count + sum(outcome.skipped == DONE for outcome in self.skipped)


def plan_frames(
    media: TaskMedia,
    *,
    frames: str | None = None,
    jobs: Collection[int] | None = None,
    frames_per_run: int = DEFAULT_FRAMES_PER_RUN,
    include_ground_truth: bool = False,
    annotated: Collection[int] = frozenset(),
    done: Collection[int] = frozenset(),
) -> Plan:
    """Cut the wanted frames of a task into batches of about `frames_per_run`.

    Batches of a chunk are equally long, and up to an eighth longer than `frames_per_run` where
    that saves one: CVAT's own chunks have 36 or 72 frames. The run's first batch is a short one.

    `frames` names frames as in "0-20,30,45-"; `jobs` are CVAT job ids. Frames that are deleted,
    in `annotated` (where only frames without annotations are wanted) or in `done` are left out,
    and so are the ground-truth pool and the honeypots unless `include_ground_truth`. A batch
    lies in one job and one chunk. A frame of overlapping jobs is in one batch, that of the first
    of its (wanted) jobs; `Frame.job_ids` names the wanted ones alone.

    Raises FrameSelectionError.
    """
    if frames_per_run < 1:
        raise FrameSelectionError(f"frames_per_run is {frames_per_run}; it must be at least 1")
    numbers = parse_frames(frames, size=media.size, what=f"task {media.task_id}")
    wanted_jobs = _wanted_jobs(media, jobs)
    chosen: list[Frame] = []
    skipped: list[Outcome] = []
    for number in numbers:
        frame = media.frame(number, jobs=wanted_jobs)
        if wanted_jobs is not None and not frame.job_ids:
            continue
        reason = _reason_to_skip(media, frame, include_ground_truth, annotated, done)
        if reason is None:
            chosen.append(frame)
        else:
            skipped.append(Outcome(frame=frame, skipped=reason))
    if not chosen and not skipped:
        raise FrameSelectionError(
            f"none of the frames {frames!r} of task {media.task_id} lies in the jobs "
            f"{_listed(wanted_jobs or ())}: widen one of the two"
        )
    batches = tuple(
        Batch(index=index, frames=part)
        for index, part in enumerate(_short_first(_batches(chosen, frames_per_run)))
    )
    return Plan(batches=batches, skipped=tuple(skipped))


def parse_frames(text: str | None, *, size: int, what: str = "the task") -> list[int]:
    """Read a list of frames and ranges: "0-20,30,45-" (ranges inclusive, the last one open).

    Returns the numbers in ascending order, each once. Raises FrameSelectionError for text that
    is not of this form, and for numbers outside 0..size-1.
    """
    if text is None:
        return list(range(size))
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or (match["last"] and not match["dash"]):
            raise FrameSelectionError(
                f"frames {text!r}: cannot read {part.strip()!r}; write numbers and ranges "
                "separated by commas, such as 0-20,30,45-"
            )
        first = int(match["first"])
        if match["last"]:
            last = int(match["last"])
        else:
            last = max(first, size - 1) if match["dash"] else first
        if last < first:
            raise FrameSelectionError(
                f"frames {text!r}: the range {part.strip()!r} runs backwards; write {last}-{first}"
            )
        if last >= size:
            raise FrameSelectionError(
                f"frames {text!r}: {what} has the frames 0 to {size - 1}, so there is no "
                f"frame {max(first, size) if match['last'] else first}"
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def _wanted_jobs(media: TaskMedia, jobs: Collection[int] | None) -> frozenset[int] | None:
    if jobs is None:
        return None
    known = media.all_job_ids
    unknown = sorted(set(jobs) - set(known))
    if unknown or not jobs:
        problem = f"{_listed(unknown)} is not among them" if unknown else "no job is named"
        if media.ground_truth_job_id in unknown:
            problem = (
                f"job {media.ground_truth_job_id} is its ground-truth job, which people annotate"
            )
        raise FrameSelectionError(
            f"task {media.task_id} has the annotation jobs {_listed(known)}; {problem}"
        )
    return frozenset(jobs)


def _listed(ids: Collection[int], most: int = 20) -> str:
    shown = ", ".join(str(i) for i in sorted(ids)[:most])
    return f"{shown}, … ({len(ids)} in all)" if len(ids) > most else shown


def _reason_to_skip(
    media: TaskMedia,
    frame: Frame,
    include_ground_truth: bool,
    annotated: Collection[int],
    done: Collection[int],
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
    # Before what it holds: a share of failed frames is one of these, too.
    if number in done:
        return DONE
    if number in annotated:
        return ANNOTATED
    return None


def _batches(frames: list[Frame], frames_per_run: int) -> Iterator[tuple[Frame, ...]]:
    for _, group in groupby(frames, key=lambda frame: (frame.job_ids[0], frame.chunk)):
        yield from _even_parts(tuple(group), frames_per_run + frames_per_run // 8)


def _short_first(parts: Iterator[tuple[Frame, ...]]) -> Iterator[tuple[Frame, ...]]:
    first = next(parts, ())
    if len(first) >= 4 * FIRST_BATCH:
        yield first[:FIRST_BATCH]
        first = first[FIRST_BATCH:]
    if first:
        yield first
    yield from parts


def _even_parts(frames: tuple[Frame, ...], most: int) -> Iterator[tuple[Frame, ...]]:
    """Cut into as few parts of at most `most` frames as there can be, none much smaller."""
    parts = -(-len(frames) // most)
    least, longer = divmod(len(frames), parts)
    begin = 0
    for part in range(parts):
        end = begin + least + (part < longer)
        yield from _bearable_parts(frames[begin:end])
        begin = end


def _bearable_parts(frames: tuple[Frame, ...]) -> Iterator[tuple[Frame, ...]]:
    """Cut where the images together become too large for memory."""
    begin = pixels = 0
    for index, frame in enumerate(frames):
        size = frame.width * frame.height
        if index > begin and pixels + size > MAX_BATCH_PIXELS:
            yield frames[begin:index]
            begin, pixels = index, 0
        pixels += size
    yield frames[begin:]
