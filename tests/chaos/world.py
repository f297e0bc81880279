"""The CVAT tasks of the schedules, and the people who annotate and edit them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen
from cvat_sdk import Client, Config, models
from cvat_sdk.core.helpers import make_request_headers
from PIL import Image

from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.model.labels import Label, labels_of_rows
from tests.support.identity import identity_of

LABELS: list[dict[str, Any]] = [
    {
        "name": "car",
        "attributes": [
            {
                "name": "kind", "mutable": False, "input_type": "select",
                "default_value": "a", "values": ["a", "b"],
            },
            {
                "name": "age", "mutable": True, "input_type": "number",
                "default_value": "0", "values": ["0", "9", "1"],
            },
        ],
    },
    {"name": "sunny", "type": "tag", "attributes": []},
    {
        "name": "pose",
        "type": "skeleton",
        "attributes": [],
        "svg": '<circle data-type="element node" data-element-id="1" data-node-id="1" '
        'data-label-name="head"/><circle data-type="element node" '
        'data-element-id="2" data-node-id="2" data-label-name="tail"/>',
        "sublabels": [
            {"name": "head", "type": "points", "attributes": []},
            {"name": "tail", "type": "points", "attributes": []},
        ],
    },
]  # fmt: skip

Content = dict[int, Counter[str]]
"""By job, how often it contains each object (as JSON without id)."""


@frozen(kw_only=True)
class Layout:
    """A task with certain jobs, used by many schedules."""

    identity: TaskIdentity
    jobs: tuple[tuple[int, int, int], ...]
    """Job id, first and last frame."""
    labels: dict[str, int]
    attributes: dict[str, int]
    task_labels: tuple[Label, ...]
    frames: int
    project: int | None = None
    """The project that the task was moved into."""

    def jobs_of(self, frame: int) -> tuple[int, ...]:
        return tuple(job for job, first, last in self.jobs if first <= frame <= last)


class Cvat:
    """Direct access to the server, without faults: for setup, for people and for checks."""

    def __init__(self, url: str, token: str) -> None:
        self.client = Client(url, check_server_version=False, config=Config())
        self.client.api_client.set_default_header("Authorization", f"Token {token}")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = make_request_headers(self.client.api_client)
        headers["Content-Type"] = "application/json"
        response = self.client.api_client.rest_client.pool_manager.request(
            method,
            self.client.api_map.host + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {response.data[:500]!r}")
        return json.loads(response.data) if response.data else None

    def annotations(self, job: int) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = self.call("GET", f"/api/jobs/{job}/annotations")
        return found

    def change(self, job: int, action: str, body: dict[str, Any]) -> Any:
        return self.call("PATCH", f"/api/jobs/{job}/annotations?action={action}", body)

    def content(self, layout: Layout) -> Content:
        return {job: counted(self.annotations(job)) for job, _, _ in layout.jobs}


@frozen(kw_only=True)
class Server:
    """A CVAT with the tasks of the schedules."""

    cvat: Cvat
    token: str
    layouts: list[Layout]


def make_server(url: str, folder: Path) -> Server:
    """Make the tasks of the schedules on a server."""
    token = login(url)
    cvat = Cvat(url, token)
    return Server(cvat=cvat, token=token, layouts=make_layouts(cvat, folder))


def login(url: str) -> str:
    """Log in as the administrator and return a token."""
    with Client(url, check_server_version=False) as client:
        auth, _ = client.api_client.auth_api.create_login(
            models.LoginSerializerExRequest(username="admin", password="admin")
        )
        return str(auth.key)


def make_layouts(cvat: Cvat, folder: Path) -> list[Layout]:
    """Make tasks with one job, two jobs, two overlapping jobs and three overlapping jobs."""
    images = []
    folder.mkdir(parents=True)
    for n in range(6):
        images.append(folder / f"im{n}.png")
        Image.new("RGB", (60, 40), (n * 40, 9, 9)).save(images[-1])
    shapes = (
        {},
        {"segment_size": 3},
        {"segment_size": 4, "overlap": 2},
        {"segment_size": 3, "overlap": 1},
    )
    return [_make_layout(cvat, images, options) for options in shapes]


def _make_layout(cvat: Cvat, images: list[Path], options: dict[str, int]) -> Layout:
    cvat.client.config.status_check_period = 0.02
    task = cvat.client.tasks.create_from_data(
        spec=models.TaskWriteRequest(
            name="chaos",
            labels=[models.PatchedLabelRequest(**label) for label in LABELS],
            **options,
        ),
        resources=images,
    )
    jobs = sorted((job.id, job.start_frame, job.stop_frame) for job in task.get_jobs())
    return Layout(
        identity=identity_of(task),
        jobs=tuple(jobs),
        frames=len(images),
        **read_labels(cvat, task.id),
    )


def read_labels(cvat: Cvat, task: int) -> dict[str, Any]:
    """Return what a layout says about the labels of its task."""
    rows = cvat.call("GET", f"/api/labels?task_id={task}")["results"]
    labels = {row["name"]: row["id"] for row in rows}
    labels |= {sub["name"]: sub["id"] for row in rows for sub in row["sublabels"]}
    return {
        "labels": labels,
        "attributes": {a["name"]: a["id"] for row in rows for a in row["attributes"]},
        "task_labels": labels_of_rows(rows),
    }


def counted(annotations: dict[str, list[dict[str, Any]]]) -> Counter[str]:
    """Count the objects as JSON without ids, with unordered lists sorted."""
    found: Counter[str] = Counter()
    for kind in ("tags", "shapes", "tracks"):
        found.update(kind + json.dumps(_bare(item), sort_keys=True) for item in annotations[kind])
    return found


def _bare(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _bare(value) for key, value in item.items() if key != "id"}
    if isinstance(item, list):
        return sorted((_bare(i) for i in item), key=json.dumps) if _has_dicts(item) else item
    return item


def _has_dicts(items: Iterable[Any]) -> bool:
    return any(isinstance(item, dict) for item in items)


def reset(cvat: Cvat, layout: Layout, seed: int) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Empty the task and let people and another tool annotate it, always the same for a seed.

    Returns the annotations of each job.
    """
    dice = random.Random(f"people {seed}")
    car, sunny = layout.labels["car"], layout.labels["sunny"]
    for job, _, _ in layout.jobs:
        cvat.call("PUT", f"/api/jobs/{job}/annotations", {"shapes": [], "tags": [], "tracks": []})
    for job, first, last in layout.jobs:
        body: dict[str, list[Any]] = {"shapes": [], "tags": [], "tracks": []}
        for frame in range(first, last + 1):
            for _ in range(dice.randrange(3)):
                # Sometimes equal to a later detection, and sometimes by another tool.
                annotation = _box(layout, dice, frame)
                body["shapes"].append(
                    annotation_to_json(annotation)
                    | {"source": dice.choice(["manual", "manual", "auto", "file"])}
                )
            if dice.random() < 0.3:
                body["tags"].append({"label_id": sunny, "frame": frame, "source": "manual"})
            if dice.random() < 0.2:
                body["shapes"].append(
                    annotation_to_json(_pose(layout, dice, frame)) | {"source": "manual"}
                )
        keys = [
            {"type": "rectangle", "frame": first, "points": [1, 1, 9, 9]},
            {"type": "rectangle", "frame": last, "points": [2, 2, 9, 9], "outside": True},
        ]
        body["tracks"].append({"label_id": car, "frame": first, "shapes": keys})
        cvat.change(job, "create", body)
    return {job: cvat.annotations(job) for job, _, _ in layout.jobs}


def outcomes_of(layout: Layout, seed: int, version: int) -> list[Outcome]:
    """Make the outcomes of a version of a function. Versions differ in a few annotations."""
    dice = random.Random(f"function {seed}")
    found = []
    for number in range(layout.frames):
        frame = Frame(
            number=number, name=f"im{number}.png", width=60, height=40, chunk=0,
            job_ids=layout.jobs_of(number),
        )  # fmt: skip
        annotations = [_box(layout, dice, number) for _ in range(dice.randrange(4))]
        if dice.random() < 0.5:
            annotations.append(
                Annotation(type="tag", label_id=layout.labels["sunny"], frame=number)
            )
        if dice.random() < 0.3:
            annotations.append(_pose(layout, dice, number))
        if annotations and dice.random() < 0.2:
            annotations.append(annotations[0])  # the same detection twice
        fate = dice.random()
        # All versions draw the same numbers from `dice`, so that they differ only as intended.
        for edition in range(1, version + 1):
            changes = random.Random(f"version {seed} {edition} {number}")
            if changes.random() < 0.5:
                annotations = [*annotations[1:], _box(layout, changes, number)]
            fate = changes.random() if changes.random() < 0.3 else fate
        if fate < 0.08:
            failure = Failure(step="detect", error="no luck", error_type="RuntimeError")
            found.append(Outcome(frame=frame, failure=failure))
            continue
        if fate < 0.16:
            # CVAT refuses the whole request with this annotation.
            annotations.append(Annotation(type="tag", label_id=2**31 - 7, frame=number))
        found.append(
            Outcome(frame=frame, annotations=tuple(annotations), content_hash=f"{number:064x}")
        )
    return found


def interfere(cvat: Cvat, layout: Layout, seed: int) -> None:
    """Edit, delete and add annotations as a person, always the same for a seed and content."""
    dice = random.Random(f"person {seed}")
    for job, first, _ in layout.jobs:
        shapes = sorted(
            (s for s in cvat.annotations(job)["shapes"] if s["type"] == "rectangle"),
            key=lambda s: json.dumps(_bare(s), sort_keys=True),
        )
        chosen = dice.sample(shapes, min(len(shapes), 3))
        for shape, what in zip(chosen, ("move", "delete", "attribute"), strict=False):
            if what == "delete":
                cvat.change(job, "delete", {"shapes": [shape]})
                continue
            if what == "move":
                shape["points"][2] += 1.5
            else:
                kind = layout.attributes["kind"]
                shape["attributes"] = [{"spec_id": kind, "value": "b"}]
            cvat.change(job, "update", {"shapes": [shape]})
        cvat.change(
            job,
            "create",
            {"shapes": [annotation_to_json(_box(layout, dice, first)) | {"source": "manual"}]},
        )


def _box(layout: Layout, dice: random.Random, frame: int) -> Annotation:
    # Few different boxes, so that different authors often draw equal ones.
    x, y = dice.choice([1.0, 7.25, 12.125]), dice.choice([2.0, 5.5])
    kind = layout.attributes["kind"]
    attributes = dice.choice([(), ((kind, "a"),), ((kind, "b"),)])
    return Annotation(
        type="rectangle",
        label_id=layout.labels["car"],
        frame=frame,
        points=(x, y, x + 20, y + 10),
        rotation=dice.choice([0.0, 0.0, 30.5]),
        attributes=attributes,
    )


def _pose(layout: Layout, dice: random.Random, frame: int) -> Annotation:
    elements = tuple(
        Annotation(
            type="points",
            label_id=layout.labels[name],
            frame=frame,
            points=(float(dice.randrange(9)), 3.0),
            outside=dice.random() < 0.3,
        )
        for name in ("head", "tail")
    )
    return Annotation(
        type="skeleton", label_id=layout.labels["pose"], frame=frame, elements=elements
    )
