"""Editing labels and moving a task into a project changes no annotation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.api_client.exceptions import ApiException

from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.upload.undo import undo
from tests.tasks.upload.upload_bench import Bench

KIND = {"name": "kind", "mutable": False, "input_type": "select", "values": ["a", "b"]}
POSE = (
    '<circle data-type="element node" data-element-id="1" data-node-id="1" '
    'data-label-name="head"/><circle data-type="element node" data-element-id="2" '
    'data-node-id="2" data-label-name="tail"/>'
)

Edit = Callable[[Bench], None]


def update(bench: Bench, **fields: Any) -> None:
    bench.client.api_client.tasks_api.partial_update(
        bench.task.id, patched_task_write_request=models.PatchedTaskWriteRequest(**fields)
    )
    labels = fetch_labels(bench.client, task_id=bench.task.id)
    bench.labels = {one.name: one.id for top in labels for one in (top, *top.sublabels)}
    bench.attributes = {one.name: one.id for label in labels for one in label.attributes}


def edit_default(bench: Bench) -> None:
    attribute = models.AttributeRequest(**KIND, default_value="b")
    car = models.PatchedLabelRequest(id=bench.labels["car"], name="car", attributes=[attribute])
    update(bench, labels=[car])


def rename(bench: Bench) -> None:
    for name in ("car", "bus"):
        other = models.PatchedLabelRequest(id=bench.labels[name], name=f"new {name}")
        update(bench, labels=[other])
    bench.labels["car"] = bench.labels["new car"]


@pytest.fixture
def project(client: Client) -> Iterator[Any]:
    """A project with the labels of the task, in another order and with another default.

    A test names it before the bench: a project is deleted with its tasks.
    """
    attribute = models.AttributeRequest(**KIND, default_value="b")
    points = [models.SublabelRequest(name=name, type="points") for name in ("tail", "head")]
    made = client.projects.create(
        spec=models.ProjectWriteRequest(
            name="all",
            labels=[
                models.PatchedLabelRequest(
                    name="pose", type="skeleton", svg=POSE, sublabels=points
                ),
                models.PatchedLabelRequest(name="sunny", type="tag"),
                models.PatchedLabelRequest(name="bus"),
                models.PatchedLabelRequest(name="car", attributes=[attribute]),
            ],
        )
    )
    yield made
    made.remove()


@pytest.fixture(params=["default", "names", "project"])
def edit(request: pytest.FixtureRequest, project: Any) -> Edit:
    edits: dict[str, Edit] = {
        "default": edit_default,
        "names": rename,
        "project": lambda bench: update(bench, project_id=project.id),
    }
    return edits[request.param]


def outcome(bench: Bench, x: float = 1.0) -> Any:
    """Boxes without an attribute, with its default, and with another value; a tag, a skeleton."""
    kind = bench.attributes["kind"]
    boxes = [bench.box(0, x, attributes=given) for given in ((), ((kind, "a"),), ((kind, "b"),))]
    return bench.outcome(0, *boxes, bench.tag(0), bench.pose(0))


def test_a_second_run_uploads_nothing(edit: Edit, bench: Bench) -> None:
    assert bench.upload(outcome(bench)).created == 5
    edit(bench)
    again = bench.upload(outcome(bench), run="run-2")
    assert (again.created, again.kept, again.withheld) == (0, 5, 0)


def test_replace_knows_its_objects(edit: Edit, bench: Bench) -> None:
    bench.upload(outcome(bench))
    edit(bench)
    other = bench.upload(outcome(bench, 20.0), run="run-2", existing="replace")
    assert (other.created, other.kept, other.deleted) == (3, 2, 3)
    assert bench.upload(outcome(bench, 20.0), run="run-3", existing="replace").kept == 5


def test_undo_knows_its_objects(edit: Edit, bench: Bench) -> None:
    bench.upload(outcome(bench))
    edit(bench)
    (job,) = undo(bench.client, bench.task.id, storage=bench.storage, stamp=RunStamp(id="undo"))
    assert (job.deleted, job.left) == (5, 0)
    assert bench.frames() == []


def test_what_a_person_deleted_stays_deleted(edit: Edit, bench: Bench) -> None:
    bench.upload(outcome(bench))
    bench.task.remove_annotations()
    edit(bench)
    again = bench.upload(outcome(bench), run="run-2")
    assert (again.created, again.withheld) == (0, 5)


def test_a_person_s_value_counts_after_the_default_was_edited(bench: Bench) -> None:
    kind = bench.attributes["kind"]
    bench.upload(bench.outcome(0, bench.box(0, attributes=((kind, "b"),))))
    edit_default(bench)
    (shape,) = bench.annotations(0)["shapes"]
    shape["attributes"][0]["value"] = "a"
    bench.change("update", {"shapes": [shape]})
    (job,) = undo(bench.client, bench.task.id, storage=bench.storage, stamp=RunStamp(id="undo"))
    assert (job.deleted, job.left) == (0, 1)


def test_a_project_without_the_label_refuses_the_task(bench: Bench, client: Client) -> None:
    empty = client.projects.create(spec=models.ProjectWriteRequest(name="none", labels=[]))
    try:
        with pytest.raises(ApiException, match="does not have label with name"):
            update(bench, project_id=empty.id)
    finally:
        empty.remove()
