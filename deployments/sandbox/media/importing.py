"""The background import: turns uploaded files into frames, chunks and jobs."""

from __future__ import annotations

import random
import re
import shutil
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from cvat_flows.deployments.sandbox.media import ground_truth, pictures
from cvat_flows.deployments.sandbox.media.pictures import Files
from cvat_flows.deployments.sandbox.notifier import Notifier
from cvat_flows.deployments.sandbox.store import Row, Store


class Importer:
    """Runs imports one after the other, in its own thread."""

    def __init__(self, store: Store, notifier: Notifier) -> None:
        """Also resume the imports that a stopped server has left unfinished."""
        self._store, self._notifier = store, notifier
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="import")
        for request in self._store.all("request"):
            if request["finished_date"] is None:
                self.submit(request["id"])

    def submit(self, request_id: int) -> None:
        # A bad file fails the request. Any other error is a bug of ours: this logs it.
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
        obsolete = [folder / "uploaded", folder / "unpacked"]
        try:
            _import_files(folder, data, request["_options"], task["segment_size"])
            with store.writing():  # one transaction: the server may be killed at any moment
                if store.get("task", task["id"]) is not None:
                    self._make_ready(task, data, request)
                    self._end(request, "finished")
        except Exception:
            # Keep the files: as in CVAT, they make a second attempt fail as well.
            obsolete = []
            with store.writing():
                if store.get("task", task["id"]) is not None:
                    self._end(request, "failed", traceback.format_exc().strip())
        if store.get("task", task["id"]) is None:  # deleted meanwhile
            obsolete = [folder]
        for path in obsolete:
            shutil.rmtree(path, ignore_errors=True)

    def _end(self, request: Row, status: str, message: str = "") -> None:
        request |= {"status": status, "message": message, "finished_date": self._store.now()}
        self._store.save("request", request)
        self._notifier.notify_completed(request)

    def _make_ready(self, task: Row, data: Row, request: Row) -> None:
        """Create the jobs, then give the task its size. Clients may see the jobs first."""
        store, is_video = self._store, data["_original_type"] == "video"
        if data["_pool"]:
            task |= {"segment_size": 0, "overlap": 0, "validation_mode": "gt_pool"}
        ranges = data["_ranges"] or _split_into_segments(task, data["size"], is_video)
        jobs = [ground_truth.add_job(store, task, frames) for frames in ranges]
        if data["_pool"]:
            jobs[-1] |= {"type": "ground_truth", "_frames": data["_pool"]}
            store.save("job", jobs[-1])
        validation = request["_options"].get("validation_params") or {}
        if validation.get("mode") == "gt":
            names = [name for name, _, _ in data["_frames"]]
            frames = ground_truth.choose_frames(validation, names, ranges)
            jobs.append(ground_truth.add_job(store, task, (0, data["size"] - 1), frames))
        for parent in store.jobs_of(task["id"], "annotation"):
            jobs += ground_truth.add_replicas(store, task, parent)
        task["mode"] = "interpolation" if is_video else "annotation"
        store.save("data", {**data, "chunks_updated_date": store.now()})
        for job in jobs:
            user = store.get("user", request["owner"])
            self._notifier.notify("create:job", job, user, "")
        self._report(task, request)

    def _report(self, task: Row, request: Row) -> None:
        """Send the task's update event twice and with relative URLs, as CVAT's import worker."""
        self._store.save("request", request)
        for _ in range(2):
            user = self._store.get("user", request["owner"])
            self._notifier.record_update("task", task, user, "")


def _split_into_segments(task: Row, size: int, is_video: bool) -> list[tuple[int, int]]:
    """Return the first and last frame of each job; set the task's segment size and overlap."""
    if not 0 < task["segment_size"] <= size:
        task["segment_size"] = size
    overlap = 5 * is_video if task["overlap"] is None else task["overlap"]
    task["overlap"] = overlap = min(overlap, task["segment_size"] // 2)
    ranges = [(0, task["segment_size"] - 1)]
    while ranges[-1][1] < size - 1:
        start = ranges[-1][1] + 1 - overlap
        ranges.append((start, min(start + task["segment_size"], size) - 1))
    return ranges


def _import_files(folder: Path, data: Row, options: Row, segment_size: int) -> None:
    """Write the chunks and describe them in `data`. Raises an error if a file is bad."""
    start, stop = int(options.get("start_frame") or 0), options.get("stop_frame")
    end = None if stop in (None, "") else int(stop) + 1
    step = re.fullmatch(r"step\s*=\s*([1-9]\d*)", options.get("frame_filter") or "step=1")
    if step is None:
        raise ValueError(f"frame_filter should be like 'step=3', not {options['frame_filter']!r}")
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
        count, size = pictures.write_video_chunks(frames, chunks, data["chunk_size"])
        data |= {"size": count, "_frames": [(uploaded[0].name.split("-", 1)[1], *size)]}
    else:
        files = _sort(pictures.unpack(uploaded, folder / "unpacked"), options)
        files = files[start : end : int(step[1])]
        validation = options.get("validation_params") or {}
        if validation.get("mode") == "gt_pool":
            files = ground_truth.add_honeypots(files, data, validation, segment_size)
        _write_image_chunks(files, data, chunks)
    if not data["size"]:
        raise ValueError("No media data found")
    data["stop_frame"] = start + (data["size"] - 1) * int(step[1])


def _write_image_chunks(files: Files, data: Row, folder: Path) -> None:
    chunk: list[tuple[str, bytes]] = []
    frames = []
    for number, (name, path) in enumerate(files):
        content, width, height = pictures.import_picture(path)
        if data["chunk_size"] is None:  # the larger the pictures, the fewer in a chunk
            data["chunk_size"] = max(2, min(72, 36 * 1920 * 1080 // (width * height)))
        frames.append((name, width, height))
        chunk.append((name, content))
        if len(chunk) == data["chunk_size"] or number == len(files) - 1:
            content = pictures.pack_chunk(chunk)
            (folder / f"{number // data['chunk_size']}.zip").write_bytes(content)
            chunk = []
    data |= {"size": len(files), "_frames": frames}


def _sort(files: Files, options: Row) -> Files:
    """Return the files in the order of CVAT's `sorting_method`."""
    method = options.get("sorting_method") or "lexicographical"
    if method == "random":
        return random.sample(files, len(files))
    if method == "natural":
        parts = {name: re.split(r"(\d+)", name) for name, _ in files}
        keys = {name: [int(p) if p.isdecimal() else p for p in parts[name]] for name in parts}
        return sorted(files, key=lambda file: keys[file[0]])
    if method == "predefined":  # the named ones in this order, then the others as uploaded
        order = [name.rsplit("/", 1)[-1] for name in options.get("upload_file_order") or []]
        places = {name: place for place, name in enumerate(order)}
        return sorted(files, key=lambda file: places.get(file[0].rsplit("/", 1)[-1], len(places)))
    return sorted(files)
