"""Labels of tasks and projects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from cvat_flows.deployments.sandbox.annotations.checks import VALID_POINT_COUNTS
from cvat_flows.deployments.sandbox.annotations.forms import parts_of
from cvat_flows.deployments.sandbox.answers import REQUIRED, Refusal
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.changes import apply_changes
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.store import Row, Store

TYPES = {*VALID_POINT_COUNTS, "any", "tag"}

router = Router()


@router.route("GET", "/api/labels")
def list_labels(call: Call) -> Row:
    store, query = call.store, call.query
    if "job_id" in query:  # somebody assigned to a job only may read its labels in this way alone
        job = call.find("job", int(query["job_id"]))
        rows = store.labels_of(store.existing("task", job["task_id"]))
    elif "task_id" in query:
        if call.sandbox.quirks and store.get("task", int(query["task_id"])) is None:
            raise Refusal(500, "labels of a task that does not exist")
        rows = store.labels_of(call.find("task", int(query["task_id"])))
    elif "project_id" in query:
        project = call.find("project", int(query["project_id"]))
        rows = store.children("label", project_id=project["id"])
    else:
        rows = call.accessible("label")
    without_sublabels = [row for row in rows if row["parent_id"] is None]
    return list_page(call, "label", without_sublabels, oldest_first=True)


def check_labels(specs: list[Row], taken: Iterable[str] = ()) -> None:
    """Check the labels of a request.

    Args:
        specs: The labels.
        taken: Names of the labels that exist already.

    Raises:
        Refusal: if CVAT would refuse them.
    """
    errors: list[Row] = []
    for spec in specs:
        errors.append({} if _name(spec) or "id" in spec else {"name": REQUIRED})
        if (kind := spec.get("type", "any")) not in TYPES:
            errors[-1]["type"] = [f'"{kind}" is not a valid choice.']
    if any(errors):
        raise Refusal(400, {"labels": errors})
    names = [*taken, *(_name(spec) for spec in specs if "id" not in spec)]
    if len(set(names)) < len(names):
        raise Refusal(400, ["All label names must be unique"])


def add_labels(store: Store, specs: list[Row], **owner: Any) -> None:
    """Add labels to a task or project. Those with an `id` are changed, or deleted if they say so.

    Args:
        store: Where the labels are kept.
        specs: Labels as a request has them.
        owner: `task_id` or `project_id`.
    """
    check_labels(specs, [label["name"] for label in store.children("label", **owner)])
    for spec in specs:
        label = store.get("label", spec.get("id"))
        if label is None:
            _add_label(store, spec, None, owner)
        elif spec.get("deleted"):
            store.delete("label", label)
        else:
            fields = {**spec, "name": _name(spec)} if "name" in spec else spec
            apply_changes(label, fields, "name", "color")
            for one in spec.get("attributes") or []:
                _change_attribute(store, label, one)
            store.save("label", label)


def _add_label(store: Store, spec: Row, parent_id: int | None, owner: Row) -> Row:
    name = _name(spec)
    colour = "#" + hashlib.sha256(name.encode()).hexdigest()[:6]
    label = store.add(
        "label", name=name, type=spec.get("type") or "any", parent_id=parent_id,
        has_parent=parent_id is not None, color=spec.get("color") or colour, **owner,
        attributes=[_attribute(store, one) for one in spec.get("attributes") or []],
    )  # fmt: skip
    if label["type"] == "skeleton":
        svg = spec.get("svg") or ""
        for sublabel_spec in spec.get("sublabels") or []:
            sublabel = _add_label(store, sublabel_spec, label["id"], owner)
            by_name = f'data-label-name="{re.escape(sublabel_spec["name"])}"'
            svg = re.sub(by_name, f'data-label-id="{sublabel["id"]}"', svg)
        label["svg"] = svg
        store.save("label", label)
    return label


def _name(spec: Row) -> str:
    """Return a label's name as CVAT stores it: without spaces around it."""
    return str(spec.get("name") or "").strip()


def _change_attribute(store: Store, label: Row, spec: Row) -> None:
    """Change a label's attribute with the same id or name, or add it.

    An edited default is shown by all annotations that were sent without a value.
    """
    key = "id" if "id" in spec else "name"
    attribute = next((one for one in label["attributes"] if one[key] == spec.get(key)), None)
    if attribute is None:
        label["attributes"] = [*label["attributes"], _attribute(store, spec)]
        return
    attribute |= {n: spec[n] for n in ("name", "mutable", "values", "default_value") if n in spec}
    number, default = attribute["id"], attribute["default_value"]

    def fill_in(body: Row, filled_in: list[int]) -> None:
        for part in parts_of(body) if number in filled_in else ():
            for one in part["attributes"]:
                one["value"] = default if one["spec_id"] == number else one["value"]

    tasks = [label["task_id"]] if label.get("task_id") else []
    if label.get("project_id"):
        tasks = [one["id"] for one in store.children("task", project_id=label["project_id"])]
    jobs = [job["id"] for task in tasks for job in store.children("job", task_id=task)]
    store.edit_annotations(jobs, fill_in)


def move_labels(store: Store, task: Row, project_id: int) -> None:
    """Give the annotations of a task the labels of a project with the same names.

    Raises:
        Refusal: 400 if the project lacks a label or an attribute.
    """
    labels: dict[int, int] = {}
    attributes: dict[int, int] = {}
    defaults: dict[int, str] = {}
    theirs = store.children("label", project_id=project_id)
    for old in store.labels_of(task):
        parent = labels.get(old["parent_id"] or 0)
        new = next(
            (n for n in theirs if (n["name"], n["parent_id"]) == (old["name"], parent)), None
        )
        if new is None:
            text = f'Target project does not have label with name "{old["name"]}"'
            raise Refusal(400, [text])
        labels[old["id"]] = new["id"]
        for one in old["attributes"]:
            wanted = {name: one[name] for name in ("name", "values", "input_type")}
            found = [a for a in new["attributes"] if wanted.items() <= a.items()]
            if not found:
                text = f'Target project does not have "{old["name"]}" label with "{one["name"]}"'
                raise Refusal(400, [f"{text} attribute"])
            attributes[one["id"]] = found[0]["id"]
            defaults[found[0]["id"]] = found[0]["default_value"]

    def move(body: Row, filled_in: list[int]) -> None:
        filled_in[:] = [attributes[number] for number in filled_in]
        for part in parts_of(body):
            part["label_id"] = labels[part["label_id"]]
            for one in part["attributes"]:
                one["spec_id"] = attributes[one["spec_id"]]
                if one["spec_id"] in filled_in:
                    one["value"] = defaults[one["spec_id"]]

    store.edit_annotations([job["id"] for job in store.children("job", task_id=task["id"])], move)
    for label in store.children("label", task_id=task["id"]):
        if label["parent_id"] is None:
            store.delete("label", label)


def _attribute(store: Store, spec: Row) -> Row:
    kept = {name: spec[name] for name in ("name", "mutable", "input_type")}
    text, values = str(spec.get("default_value") or ""), spec.get("values") or [""]
    return {"id": store.next_id("attribute"), **kept, "default_value": text, "values": values}
