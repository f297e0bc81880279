"""The sandbox as an application, and serving it over HTTP."""

from __future__ import annotations

import socket
from importlib import import_module
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from cvat_flows.deployments.sandbox import ADDRESS_FILE, accounts, pictures, web
from cvat_flows.deployments.sandbox.faults import FaultMiddleware, Faults
from cvat_flows.deployments.sandbox.importing import Importer
from cvat_flows.deployments.sandbox.store import Row, Store
from cvat_flows.deployments.sandbox.webhooks import Notifier

for _name in ("annotations", "media", "objects", "uploads"):  # they register their addresses
    import_module(f"cvat_flows.deployments.sandbox.{_name}")


class Sandbox:
    """What the handlers share."""

    def __init__(self, folder: Path, *, quirks: bool = False) -> None:
        """`quirks` switches on the accidents of CVAT 2.54 that a client has to survive."""
        self.quirks, self.store, self.faults = quirks, Store(folder), Faults()
        accounts.create_accounts(self.store)
        self.notifier = Notifier(self)
        self.importer = Importer(self)  # goes on at once with what was interrupted

    def authenticate(self, request: Request) -> Row:
        return accounts.authenticate(self.store, request)

    def changed(
        self, kind: str, row: Row, user: Row | None, base: str, before: Row | None = None
    ) -> None:
        """Move the date of a changed task or job and tell the webhooks what was there before."""
        before = {**(before or {}), "updated_date": row["updated_date"]}
        row["updated_date"] = self.store.now()
        self.store.save(kind, row)
        self.notifier.tell(f"update:{kind}", row, user, base, before)


def serve(host: str, port: int, data_dir: Path, quirks: bool = False) -> None:
    """Run the sandbox until it is interrupted. Port 0 takes a free one."""
    pictures.take_any_picture()
    data_dir = Path(data_dir)
    sandbox = Sandbox(data_dir, quirks=quirks)
    app = Starlette(routes=web.ROUTES)
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    # Headers and body go out in two writes; without this each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    print(
        f"CVAT sandbox at {url}, data in {data_dir}\n"
        "Accounts: admin/admin (superuser) and worker/worker. This is for trying out only: "
        "the passwords are public and nothing is protected.",
        flush=True,
    )
    address = data_dir / ADDRESS_FILE
    written = data_dir / f"{ADDRESS_FILE}.new"
    written.write_text(url)
    written.rename(address)
    config = uvicorn.Config(
        FaultMiddleware(app, sandbox.faults), http="h11", ws="none", lifespan="off",
        log_level="warning", access_log=False, timeout_keep_alive=75,
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        address.unlink(missing_ok=True)
