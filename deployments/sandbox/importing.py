"""The background import: from uploaded files to frames, chunks and jobs."""

from __future__ import annotations

import random
import re
import shutil
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.deployments.sandbox import ground_truth, pictures
from cvat_flows.deployments.sandbox.store import Row

if TYPE_CHECKING:
    from cvat_flows.deployments.sandbox.server import Sandbox

Files = list[tuple[str, Path]]


class Importer:
    """One import after the other, in a thread of its own."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._store = sandbox, sandbox.store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="import")
        for request in self._store.rows("request"):
            if request["finished_date"] is None:  # the server was stopped meanwhile
                self.submit(request["id"])

    def submit(self, request_id: int) -> None:
        # A mistake of the importer's own, unlike one of the files', goes to the log.
        self._pool.submit(self._run, request_id).add_done_callback(lambda done: done.result())

    def _run(self, request_id: int) -> None:
        store = self._store
        with store.writing():
            request = store.get("request", request_id)
            task = request and store.get("task", request["task_id"])
            if request is None or task is None:
                return
            request |= {"status": "started", "started_date": store.now()}
            self._report(task, request)
        data, folder = dict(store.get("data", task["id"]) or {}), store.media_folder(task["id"])
        used = [folder / "uploaded", folder / "unpacked"]
        try:
            _read(folder, data, request["_options"], task["segment_size"])
            with store.writing():  # all of it or nothing, whenever the server is killed
                if store.get("task", task["id"]) is not None:
                    self._finish(task, data, request)
                    self._end(request, "finished")
        except Exception:
            used = []  # the files stay, and make a second attempt fail as well, as in CVAT
            with store.writing():
                if store.get("task", task["id"]) is not None:
                    self._end(request, "failed", traceback.format_exc().strip())
        for path in used if store.get("task", task["id"]) else [folder]:
            shutil.rmtree(path, ignore_errors=True)

    def _end(self, request: Row, status: str, message: str = "") -> None:
        request |= {"status": status, "message": message, "finished_date": self._store.now()}
        self._store.save("request", request)

    def _finish(self, task: Row, data: Row, request: Row) -> None:
        """The moment at which the task is ready: its jobs are there before its size is."""
        store, video = self._store, data["_original_type"] == "video"
        if data["_pool"]:
            task |= {"segment_size": 0, "overlap": 0, "validation_mode": "gt_pool"}
        ranges = data["_ranges"] or _segments(task, data["size"], video)
        jobs = [ground_truth.add_job(store, task, frames) for frames in ranges]
        if data["_pool"]:
            jobs[-1] |= {"type": "ground_truth", "_frames": data["_pool"]}
            store.save("job", jobs[-1])
        validation = request["_options"].get("validation_params") or {}
        if validation.get("mode") == "gt":
            names = [name for name, _, _ in data["_frames"]]
            frames = ground_truth.choose(validation, names, ranges)
            jobs.append(ground_truth.add_job(store, task, (0, data["size"] - 1), frames))
        task["mode"] = "interpolation" if video else "annotation"
        store.save("data", {**data, "chunks_updated_date": store.now()})
        for job in jobs:
            user = store.get("user", request["owner"])
            self._sandbox.notifier.tell("create:job", job, user, "")
        self._report(task, request)

    def _report(self, task: Row, request: Row) -> None:
        """CVAT's import worker reports everything twice, with relative URLs."""
        self._store.save("request", request)
        for _ in range(2):
            user = self._store.get("user", request["owner"])
            self._sandbox.changed("task", task, user, "")


def _segments(task: Row, size: int, video: bool) -> list[tuple[int, int]]:
    """First and last frame of each job; sets the task's segment size and overlap."""
    if not 0 < task["segment_size"] <= size:
        task["segment_size"] = size
    overlap = 5 * video if task["overlap"] is None else task["overlap"]
    task["overlap"] = overlap = min(overlap, task["segment_size"] // 2)
    ranges = [(0, task["segment_size"] - 1)]
    while ranges[-1][1] < size - 1:
        start = ranges[-1][1] + 1 - overlap
        ranges.append((start, min(start + task["segment_size"], size) - 1))
    return ranges


def _read(folder: Path, data: Row, options: Row, segment_size: int) -> None:
    """Write the chunks and describe them in `data`; raises whatever is wrong with the files."""
    start, stop = int(options.get("start_frame") or 0), options.get("stop_frame")
    end = None if stop in (None, "") else int(stop) + 1
    step = re.fullmatch(r"step\s*=\s*([1-9]\d*)", options.get("frame_filter") or "step=1")
    if step is None:
        raise ValueError(f"frame_filter should be like 'step=3', not {options['frame_filter']!r}")
    chosen = slice(start, end, int(step[1]))
    data |= {
        "image_quality": int(options.get("image_quality", 70)),
        "start_frame": start,
        "frame_filter": options.get("frame_filter") or "",
        "chunk_size": int(options.get("chunk_size") or 0) or None,
    }
    chunks, uploaded = folder / "original", sorted((folder / "uploaded").glob("*"))
    shutil.rmtree(chunks, ignore_errors=True)
    chunks.mkdir(parents=True)
    if uploaded and uploaded[0].suffix.lower() in pictures.VIDEOS:
        data |= {"chunk_size": data["chunk_size"] or 36, "_original_type": "video"}
        data["_compressed_type"] = "imageset" if options.get("use_zip_chunks") else "video"
        frames = islice(pictures.video_frames(uploaded[0]), start, end, int(step[1]))
        data["size"], shape = pictures.write_clips(frames, chunks, data["chunk_size"])
        data["_frames"] = [(uploaded[0].name.split("-", 1)[1], *shape)]
    else:
        files = _ordered(pictures.unpacked(uploaded, folder / "unpacked"), options)[chosen]
        validation = options.get("validation_params") or {}
        if validation.get("mode") == "gt_pool":
            files = ground_truth.with_honeypots(files, data, validation, segment_size)
        _write_images(files, data, chunks)
    if not data["size"]:
        raise ValueError("No media data found")
    data["stop_frame"] = start + (data["size"] - 1) * int(step[1])


def _write_images(files: Files, data: Row, folder: Path) -> None:
    chunk: list[tuple[str, bytes]] = []
    frames = []
    for number, (name, path) in enumerate(files):
        content, width, height = pictures.imported(path)
        if data["chunk_size"] is None:  # fewer frames to a chunk when they are large
            data["chunk_size"] = max(2, min(72, 36 * 1920 * 1080 // (width * height)))
        frames.append((name, width, height))
        chunk.append((name, content))
        if len(chunk) == data["chunk_size"] or number == len(files) - 1:
            (folder / f"{number // data['chunk_size']}.zip").write_bytes(pictures.packed(chunk))
            chunk = []
    data |= {"size": len(files), "_frames": frames}


def _ordered(files: Files, options: Row) -> Files:
    method = options.get("sorting_method") or "lexicographical"
    if method == "random":
        random.shuffle(files)
    elif method == "natural":
        parts = {name: re.split(r"(\d+)", name) for name, _ in files}
        keys = {name: [int(p) if p.isdecimal() else p for p in parts[name]] for name in parts}
        files.sort(key=lambda file: keys[file[0]])
    elif method == "predefined":  # in the order named, else in the order of arrival
        order = [name.rsplit("/", 1)[-1] for name in options.get("upload_file_order") or []]
        places = {name: place for place, name in enumerate(order)}
        files.sort(key=lambda file: places.get(file[0].rsplit("/", 1)[-1], len(places)))
    else:
        files.sort()
    return files
