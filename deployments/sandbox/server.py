"""Collect the routes and serve the sandbox over HTTP."""

from __future__ import annotations

from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from cvat_flows.deployments.listening import listen, url_of
from cvat_flows.deployments.sandbox import ADDRESS_FILE
from cvat_flows.deployments.sandbox.faults import FaultMiddleware
from cvat_flows.deployments.sandbox.handlers import (
    accounts,
    data,
    faults,
    issues,
    jobs,
    labels,
    objects,
    pages,
    quality,
    tasks,
    uploads,
    webhooks,
)
from cvat_flows.deployments.sandbox.handlers import annotations as annotation_handlers
from cvat_flows.deployments.sandbox.media.pictures import read_pictures_as_cvat
from cvat_flows.deployments.sandbox.sandbox import Sandbox

# The first route that matches answers: `data/meta` must precede the `data/{file}` of uploads.
ROUTES = [
    *accounts.router.routes,
    *annotation_handlers.router.routes,
    *data.router.routes,
    *faults.router.routes,
    *issues.router.routes,
    *jobs.router.routes,
    *labels.router.routes,
    *objects.router.routes,
    *pages.router.routes,
    *quality.router.routes,
    *tasks.router.routes,
    *uploads.router.routes,
    *webhooks.router.routes,
]


def serve(
    host: str, port: int, data_dir: Path, *, quirks: bool = False, new_webhooks: bool = False
) -> None:
    """Run the sandbox until it is interrupted.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0: a free one.
        data_dir: Folder that keeps all data; created if missing.
        quirks: Also imitate known bugs of CVAT 2.54.
        new_webhooks: Offer the webhooks of CVAT 2.76: events about imports, and webhooks for the
            whole server.

    Raises:
        UsageError: The server cannot listen on the address.
    """
    read_pictures_as_cvat()
    sandbox = Sandbox(data_dir, quirks=quirks, new_webhooks=new_webhooks)
    app = Starlette(routes=ROUTES)
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    listener = listen(host, port)
    url = url_of(listener, host)
    print(
        f"CVAT sandbox at {url}, data in {data_dir}\n"
        "Accounts: admin/admin (superuser) and worker/worker. These passwords are public, so use "
        "the sandbox for demos and tests only.",
        flush=True,
    )
    config = uvicorn.Config(
        FaultMiddleware(app, sandbox.faults), http="h11", ws="none", lifespan="off",
        log_level="warning", access_log=False, timeout_keep_alive=75,
    )  # fmt: skip
    address = data_dir / ADDRESS_FILE
    _write_at_once(address, url)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        address.unlink(missing_ok=True)


def _write_at_once(path: Path, text: str) -> None:
    """Write a file that other processes wait for, so that they never read a part of it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text)
    temporary.rename(path)
