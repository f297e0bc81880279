"""Behaviour of CVAT that clients depend on and the conformance suite does not check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from cvat_sdk import Client, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.waiting import wait_until

MakeTask = Callable[..., Any]


@pytest.fixture
def http(sandbox: SandboxProcess) -> Any:
    login = dict(zip(("username", "password"), sandbox.admin, strict=True))
    with httpx.Client(base_url=f"{sandbox.url}/api", trust_env=False, timeout=300) as http:
        key = http.post("/auth/login", json=login).json()["key"]
        http.cookies.clear()
        http.headers["Authorization"] = f"Token {key}"
        yield http


def box(label: int, frame: int, *points: float, **more: Any) -> dict[str, Any]:
    corners = list(points or (1, 1, 5, 5))
    return {"type": "rectangle", "label_id": label, "frame": frame, "points": corners, **more}


def change(http: httpx.Client, path: str, action: str, **body: Any) -> dict[str, Any]:
    answer = http.patch(f"/{path}/annotations", params={"action": action}, json=body)
    assert answer.status_code == 200, answer.text
    echo: dict[str, Any] = answer.json()
    return echo


def shapes(http: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"/{path}/annotations").json()["shapes"]
    return found


def jobs_of(task: Any) -> list[str]:
    return [f"jobs/{job.id}" for job in sorted(task.get_jobs(), key=lambda job: job.start_frame)]


def test_tags_and_shapes_have_separate_id_counters(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(1)
    label = task.get_labels()[0].id
    tag = {"label_id": label, "frame": 0}
    first = change(http, f"tasks/{task.id}", "create", shapes=[box(label, 0)], tags=[tag, tag])
    again = change(http, f"tasks/{task.id}", "create", shapes=[box(label, 0)], tags=[tag])
    assert again["shapes"][0]["id"] == first["shapes"][0]["id"] + 1
    assert again["tags"][0]["id"] == first["tags"][0]["id"] + 2


@pytest.mark.parametrize(("right", "reported"), [(95, 1), (74, 2)])
def test_similar_boxes_of_overlapping_jobs_are_shown_once(
    http: httpx.Client, make_task: MakeTask, right: float, reported: int
) -> None:
    """Boxes of IoU 0.95 are shown as one, the first job's; boxes of 0.74 as two."""
    task = make_task(6, segment_size=4, overlap=2)
    label = task.get_labels()[0].id
    first, second = jobs_of(task)
    first_boxes = change(http, first, "create", shapes=[box(label, 2, 0, 0, 100, 10)] * 2)["shapes"]
    change(http, second, "create", shapes=[box(label, 2, 0, 0, right, 10)])
    shown = shapes(http, f"tasks/{task.id}")
    # Equal boxes within one job are never merged, and one copy is merged with one of them only.
    assert len(shown) == 1 + reported
    assert {shape["id"] for shape in first_boxes} <= {shape["id"] for shape in shown}


def test_an_update_stays_in_the_job_that_holds_the_object(
    http: httpx.Client, make_task: MakeTask
) -> None:
    task = make_task(6, segment_size=4, overlap=2)
    label = task.get_labels()[0].id
    first, second = jobs_of(task)
    change(http, f"tasks/{task.id}", "create", shapes=[box(label, 2)])
    [copy] = shapes(http, second)
    moved = box(label, 3, 7, 7, 9, 9, id=copy["id"])
    change(http, f"tasks/{task.id}", "update", shapes=[moved])
    assert [(one["frame"], one["points"]) for one in shapes(http, first)] == [(2, [1, 1, 5, 5])]
    assert [(one["id"], one["frame"]) for one in shapes(http, second)] == [(copy["id"], 3)]


def test_a_delete_with_the_wrong_frame_does_nothing(
    http: httpx.Client, make_task: MakeTask
) -> None:
    task = make_task(4, segment_size=2)
    label = task.get_labels()[0].id
    [made] = change(http, f"tasks/{task.id}", "create", shapes=[box(label, 0)])["shapes"]
    for frame in (99, 2):  # outside the task, and in another job
        change(http, f"tasks/{task.id}", "delete", shapes=[{**made, "frame": frame}])
        assert [one["id"] for one in shapes(http, f"tasks/{task.id}")] == [made["id"]]
    change(
        http, jobs_of(task)[0], "delete", shapes=[{**made, "frame": 99}]
    )  # jobs do not check the frame
    assert shapes(http, f"tasks/{task.id}") == []


def test_a_track_is_split_between_jobs(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(4, segment_size=2)
    label = task.get_labels()[0].id
    keys = [
        {"type": "rectangle", "frame": n, "points": [n, n, 9, 9], "outside": False} for n in (0, 3)
    ]
    change(
        http,
        f"tasks/{task.id}",
        "create",
        tracks=[{"label_id": label, "frame": 0, "shapes": keys}],
    )
    parts = [http.get(f"/{job}/annotations").json()["tracks"] for job in jobs_of(task)]
    ends = [[(key["frame"], key["outside"]) for key in part["shapes"]] for [part] in parts]
    assert ends == [[(0, False), (2, True)], [(3, False)]]


def test_labels_are_renamed_and_removed_by_id(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(1, ["car", "bus"])
    car, bus = task.get_labels()
    labels = [{"id": car.id, "name": "lorry"}, {"id": bus.id, "deleted": True}]
    assert http.patch(f"/tasks/{task.id}", json={"labels": labels}).status_code == 200
    assert [(one.id, one.name) for one in task.get_labels()] == [(car.id, "lorry")]


def test_an_attribute_is_changed_by_id_or_by_name(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(1, ["car"])
    [car] = task.get_labels()

    def change_attribute(**fields: Any) -> list[dict[str, Any]]:
        labels = [{"id": car.id, "attributes": [{"mutable": True, "input_type": "text", **fields}]}]
        assert http.patch(f"/tasks/{task.id}", json={"labels": labels}).status_code == 200
        [label] = http.get("/labels", params={"task_id": task.id}).json()["results"]
        return list(label["attributes"])

    [first] = change_attribute(name="kind", default_value="size")
    # Other fields of an attribute may have the value of a name.
    assert [one["name"] for one in change_attribute(name="size")] == ["kind", "size"]
    assert [one["name"] for one in change_attribute(name="text")] == ["kind", "size", "text"]
    change_attribute(name="kind", default_value="b")
    changed, *_ = change_attribute(id=first["id"], name="sort")
    assert changed == {**first, "name": "sort", "default_value": "b"}


def test_names_of_labels_are_stripped(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(1, [" car ", "a b\t"])
    car, other = task.get_labels()
    assert (car.name, other.name) == ("car", "a b")
    for labels, status in (
        ([{"name": "car "}], 400),  # there is one of that name
        ([{"name": "  "}], 400),
        ([{"id": car.id, "name": " lorry"}], 200),
    ):
        assert http.patch(f"/tasks/{task.id}", json={"labels": labels}).status_code == status
    assert [label.name for label in task.get_labels()] == ["lorry", "a b"]


def test_an_element_on_another_frame_than_its_skeleton_is_refused_without_quirks(
    http: httpx.Client, make_task: MakeTask
) -> None:
    pose = models.PatchedLabelRequest(
        name="pose",
        type="skeleton",
        attributes=[],
        sublabels=[models.SublabelRequest(name="head", type="points")],
        svg="",
    )
    task = make_task(2, [pose])
    [label] = task.get_labels()
    node = {"type": "points", "label_id": label.sublabels[0].id, "frame": 1, "points": [1, 1]}
    shape = {"type": "skeleton", "label_id": label.id, "frame": 0, "elements": [node]}
    answer = http.patch(
        f"/tasks/{task.id}/annotations", params={"action": "create"}, json={"shapes": [shape]}
    )
    assert answer.status_code == 400
    assert shapes(http, f"tasks/{task.id}") == []


def test_a_delivery_to_a_receiver_that_is_down_is_recorded(
    client: Client, http: httpx.Client, sandbox: SandboxProcess
) -> None:
    project = client.projects.create({"name": "hooked", "labels": [{"name": "car"}]})
    body = {
        "type": "project",
        "project_id": project.id,
        "target_url": "http://127.0.0.1:9/nobody",
        "content_type": "application/json",
        "events": ["create:task"],
    }
    hook = http.post("/webhooks", json=body).json()["id"]
    client.tasks.create({"name": "new", "project_id": project.id})
    rows = wait_until(
        lambda: http.get(f"/webhooks/{hook}/deliveries").json()["results"], what="a delivery"
    )
    assert [(row["event"], row["status_code"]) for row in rows] == [("create:task", 502)]
    project.remove()


def test_chunks_are_gzipped_for_clients_that_accept_it(
    http: httpx.Client, make_task: MakeTask
) -> None:
    path = f"/tasks/{make_task(2).id}/data?type=chunk&number=0&quality=original"
    packed = http.get(path, headers={"Accept-Encoding": "gzip"})
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content


def cpu_seconds(sandbox: SandboxProcess) -> float:
    """Return the processor time of the sandbox, which other programs do not affect."""
    assert sandbox._process is not None
    times = psutil.Process(sandbox._process.pid).cpu_times()
    return float(times.user + times.system)


def test_many_shapes_in_many_jobs(
    http: httpx.Client, make_task: MakeTask, sandbox: SandboxProcess
) -> None:
    """Writing and reading 30,000 shapes takes seconds; the limit allows for a slow processor."""
    task = make_task(60, segment_size=1)
    label = task.get_labels()[0].id
    body = [box(label, n % 60, n, 0.5, n + 1, 1, source="auto") for n in range(30_000)]
    before = cpu_seconds(sandbox)
    echo = change(http, f"tasks/{task.id}", "create", shapes=body)["shapes"]
    stored = shapes(http, f"tasks/{task.id}")
    assert cpu_seconds(sandbox) - before < 30
    assert [one["frame"] for one in echo] == sorted(n % 60 for n in range(30_000))
    assert sorted(one["points"][0] for one in stored) == list(range(30_000))
    assert len(shapes(http, jobs_of(task)[7])) == 500


def test_a_thousand_tasks_are_listed_quickly(http: httpx.Client, sandbox: SandboxProcess) -> None:
    for n in range(1000):
        made = http.post("/tasks", json={"name": f"batch {n}", "labels": []})
        assert made.status_code == 201
    before = cpu_seconds(sandbox)
    page = http.get("/tasks", params={"search": "batch", "page_size": 100}).json()
    assert cpu_seconds(sandbox) - before < 2
    assert (page["count"], len(page["results"])) == (1000, 100)
    for row in http.get("/tasks", params={"search": "batch", "page_size": "all"}).json()["results"]:
        assert http.delete(f"/tasks/{row['id']}").status_code == 204


def test_comments_are_listed_by_job_and_changed(http: httpx.Client, make_task: MakeTask) -> None:
    task = make_task(4, segment_size=2)
    for path in jobs_of(task):
        job, frame = int(path.split("/")[1]), 2 * (path == jobs_of(task)[1])
        place = {"job": job, "frame": frame, "position": [1, 2]}
        made = http.post("/issues", json={**place, "message": f" see {job} "}).json()
        assert "url" not in made
        (comment,) = http.get("/comments", params={"job_id": job}).json()["results"]
        assert (comment["issue"], comment["message"]) == (made["id"], f"see {job}")
        (by_frame,) = http.get("/comments", params={"job_id": job, "frame_id": frame}).json()[
            "results"
        ]
        assert by_frame == comment
        changed = http.patch(f"/comments/{comment['id']}", json={"message": "other"})
        assert changed.json()["message"] == "other"
        assert http.delete(f"/comments/{comment['id']}").status_code == 204
        assert http.get("/comments", params={"issue_id": made["id"]}).json()["count"] == 0


def test_who_may_delete_an_issue(
    sandbox: SandboxProcess, http: httpx.Client, make_task: MakeTask
) -> None:
    """The assignee of a job may read and answer its issues, and delete only his own."""
    (job,) = make_task(1).get_jobs()
    users = http.get("/users").json()["results"]
    (worker,) = [user for user in users if user["username"] == "worker"]
    http.patch(f"/jobs/{job.id}", json={"assignee": worker["id"]})
    body = {"job": job.id, "frame": 0, "position": [1, 2], "message": "see"}
    login = dict(zip(("username", "password"), sandbox.worker, strict=True))
    with httpx.Client(base_url=f"{sandbox.url}/api", trust_env=False, timeout=300) as other:
        key = other.post("/auth/login", json=login).json()["key"]
        other.cookies.clear()
        other.headers["Authorization"] = f"Token {key}"
        foreign = http.post("/issues", json=body).json()["id"]
        own = other.post("/issues", json=body).json()["id"]
        assert other.get(f"/issues/{foreign}").status_code == 200
        assert other.delete(f"/issues/{foreign}").status_code == 403
        assert other.delete(f"/issues/{own}").status_code == 204
    assert http.delete(f"/issues/{foreign}").status_code == 204


def test_the_assignee_of_a_job_may_not_move_it(
    make_task: MakeTask, http: httpx.Client, sandbox: SandboxProcess
) -> None:
    """Only those who may use the task change the stage and the assignee of a job."""
    job = make_task(2).get_jobs()[0].id
    with httpx.Client(
        base_url=f"{sandbox.url}/api", auth=sandbox.worker, trust_env=False, timeout=60
    ) as worker:
        user = worker.get("/users/self").json()["id"]
        assert http.patch(f"/jobs/{job}", json={"assignee": user}).status_code == 200
        assert worker.patch(f"/jobs/{job}", json={"state": "completed"}).status_code == 200
        for refused in ({"stage": "acceptance"}, {"assignee": None}):
            assert worker.patch(f"/jobs/{job}", json=refused).status_code == 403
