"""Read what is on the frames of a run before it begins, for a function that needs it.

Each job is read once. What is read lies in an unnamed file: only 16 bytes for each annotation are
in memory. So the whole run has the annotations of its beginning, whatever is uploaded meanwhile.

What this function itself has uploaded, and nobody has changed since, is left out: otherwise its
results would change its input, and every run would detect again. Annotations of other functions
count, and those that a person has changed. Tracks are left out.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from typing import IO, Any

from attrs import define, field, frozen
from cvat_sdk import Client

from aa_functions.present import PresentAnnotation
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.model.annotations import TAG
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import JobRange
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord
from cvat_flows.tasks.upload.requests.read import JobReader


@frozen(kw_only=True)
class _Names:
    """Names of a label and its attributes, by id."""

    label: str
    attributes: Mapping[int, str]


@define(eq=False)
class PresentAnnotations:
    """The tags and shapes on the frames of a CVAT task, as they were read. Thread-safe."""

    _file: IO[bytes] = field(factory=partial(tempfile.TemporaryFile, prefix="cvat-flows-present-"))
    _positions: dict[int, array[int]] = field(factory=dict, init=False)
    """By frame, offset and length of each annotation in the file."""
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def of(self, frame: Frame) -> tuple[PresentAnnotation, ...]:
        """Return the annotations on a frame, in an order that does not depend on CVAT's."""
        return tuple(_from_facts(json.loads(line)) for line in self._lines(frame))

    def digest(self, frame: Frame) -> str:
        """Return a digest of the annotations on a frame."""
        return blake2b(b"\n".join(self._lines(frame)), digest_size=16).hexdigest()

    def add(self, frame: int, facts: list[Any]) -> None:
        """Store an annotation."""
        line = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
        with self._lock:
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._positions.setdefault(frame, array("q")).extend((offset, len(line)))

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _lines(self, frame: Frame) -> list[bytes]:
        positions = self._positions.get(frame.number, ())
        lines = set()  # jobs that share a frame have copies
        for offset, length in zip(positions[::2], positions[1::2], strict=True):
            with self._lock:
                self._file.seek(offset)
                lines.add(self._file.read(length))
        return sorted(lines)


def read_present(
    client: Client, jobs: Iterable[JobRange], labels: Iterable[Label], manifest: Manifest
) -> PresentAnnotations:
    """Read what is on the frames of some jobs, except what this function has uploaded.

    Args:
        client: The CVAT server.
        jobs: The jobs.
        labels: Labels of the CVAT task.
        manifest: Tells what the function has uploaded.

    Raises CvatRefused and CvatUnavailable.
    """
    labels = tuple(labels)
    names = dict(_names(labels))
    known = manifest.label_names(labels)
    present = PresentAnnotations()
    try:
        for job in jobs:
            recorded = partial(manifest.record, job.id)
            reader = JobReader(
                channel=JobAnnotations(client=client, job_id=job.id),
                names=known,
                recorded=recorded,
            )
            for item, digest in reader.items():
                if not is_own(item["id"], digest, recorded(item["frame"])):
                    present.add(item["frame"], _to_facts(item, names))
    except BaseException:
        present.close()
        raise
    return present


def is_own(number: int, digest: str, record: FrameRecord | None) -> bool:
    """Return whether the function has uploaded an object, or may have."""
    if record is None:
        return False
    return (
        digest in record.pending
        or digest in record.doubtful
        or any(
            (item.id, item.digest) == (number, digest) and item.run is not None
            for item in (*record.items, *record.deleting)
        )
    )


def _names(labels: Iterable[Label]) -> Iterator[tuple[int, _Names]]:
    for label in labels:
        yield (
            label.id,
            _Names(label=label.name, attributes={a.id: a.name for a in label.attributes}),
        )
        yield from _names(label.sublabels)


def _to_facts(item: Mapping[str, Any], names: Mapping[int, _Names]) -> list[Any]:
    known = names.get(item["label_id"])
    attributes = known.attributes if known else {}
    return [
        known.label if known else f"#{item['label_id']}",
        item.get("type") or TAG,
        item.get("points") or [],
        item.get("rotation") or 0.0,
        bool(item.get("occluded")),
        bool(item.get("outside")),
        sorted(
            [attributes.get(one["spec_id"], f"#{one['spec_id']}"), str(one["value"])]
            for one in item.get("attributes") or ()
        ),
        [_to_facts(one, names) for one in item.get("elements") or ()],
    ]


def _from_facts(facts: list[Any]) -> PresentAnnotation:
    label, kind, points, rotation, occluded, outside, attributes, elements = facts
    return PresentAnnotation(
        label=label,
        type=kind,
        points=tuple(points),
        rotation=rotation,
        occluded=occluded,
        outside=outside,
        attributes=tuple((name, value) for name, value in attributes),
        elements=tuple(_from_facts(one) for one in elements),
    )
