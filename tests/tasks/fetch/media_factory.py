"""Task media made by hand, as `build_media` makes it from CVAT's answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cvat_flows.tasks.cvat.task import build_media
from cvat_flows.tasks.model.media import TaskMedia


def make_media(
    size: int = 10,
    *,
    chunk_size: int = 4,
    segments: Sequence[tuple[int, int]] | None = None,
    deleted: Collection[int] = (),
    honeypots: Collection[int] = (),
    pool: tuple[int, int] | None = None,
    ground_truth: bool = False,
    sizes: Sequence[tuple[int, int]] = ((64, 48),),
    **task: Any,
) -> TaskMedia:
    """A task whose annotation jobs have ids from 100 in order of `segments` (first, last).

    `sizes` are those of the frames; the last one is that of all others.
    """
    rows = [
        {"id": 100 + n, "type": "annotation", "start_frame": first, "stop_frame": last}
        for n, (first, last) in enumerate(segments or [(0, size - 1)])
    ]
    if pool:
        rows.append(
            {"id": 90, "type": "ground_truth", "start_frame": pool[0], "stop_frame": pool[1]}
        )
    if ground_truth:
        rows.append({"id": 90, "type": "ground_truth", "start_frame": 0, "stop_frame": size - 1})
    return build_media(
        {
            "id": 5,
            "created_date": "2026-01-01T00:00:00Z",
            "updated_date": "2026-01-02T00:00:00Z",
            "name": "street",
            "size": size,
            "data_original_chunk_type": "imageset",
            "data": 3,
            "validation_mode": "gt_pool" if pool else "gt" if ground_truth else None,
            **task,
        },
        {
            "chunk_size": chunk_size,
            "chunks_updated_date": "2026-01-01T00:00:00Z",
            "deleted_frames": sorted(deleted),
            "frames": [
                {"name": f"im{n:03d}.png", "width": width, "height": height}
                for n in range(size)
                for width, height in [sizes[min(n, len(sizes) - 1)]]
            ],
        },
        # CVAT lists the newest job first.
        rows[::-1],
        host="http://cvat.test/",
        honeypots=honeypots,
    )
