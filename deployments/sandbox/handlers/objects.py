"""List, read and delete objects in the ways that are the same for many kinds."""

from __future__ import annotations

from typing import Any

from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.resources import PATHS

LISTED = ("user", "project", "task", "job", "webhook")
READ = (*LISTED, "label", "issue", "comment", "access_token")
DELETED = ("project", "comment", "webhook", "access_token")

router = Router()


def _add_list(kind: str) -> None:
    @router.route("GET", f"/api/{PATHS[kind]}")
    def list_rows(call: Call) -> Any:
        return list_page(call, kind, call.accessible(kind))


def _add_read(kind: str) -> None:
    @router.route("GET", f"/api/{PATHS[kind]}/{{id:int}}")
    def read_row(call: Call) -> Any:
        return call.as_json(kind, call.find(kind))


def _add_delete(kind: str) -> None:
    @router.route("DELETE", f"/api/{PATHS[kind]}/{{id:int}}")
    def delete_row(call: Call) -> None:
        call.store.delete(kind, call.find(kind))


for _kind in LISTED:
    _add_list(_kind)
for _kind in READ:
    _add_read(_kind)
for _kind in DELETED:
    _add_delete(_kind)
