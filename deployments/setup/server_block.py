"""Plan the CVATServer block, which tells workers where CVAT is."""

from __future__ import annotations

from functools import partial

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from cvat_flows.deployments.setup.changes import Change
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.server_block import CVATServer


def plan_block(
    client: SyncPrefectClient, settings: ServerSettings | None, *, name: str, replace: bool
) -> list[Change]:
    """Plan the block type and the block `name`. An existing block changes only with `replace`."""
    return [_plan_block_type(client), _plan_block(client, settings, name=name, replace=replace)]


def _plan_block_type(client: SyncPrefectClient) -> Change:
    what = "block type 'CVAT server'"
    try:
        client.read_block_type_by_slug(CVATServer.get_block_type_slug())
        client.read_block_schema_by_checksum(CVATServer._calculate_schema_checksum())
    except ObjectNotFound:
        return Change(verb="create", what=what, apply=_register_block_type)
    return Change(verb="ok", what=what)


def _register_block_type() -> None:
    CVATServer.register_type_and_schema(_sync=True)  # type: ignore[call-arg]


def _plan_block(
    client: SyncPrefectClient, settings: ServerSettings | None, *, name: str, replace: bool
) -> Change:
    what = f"CVATServer block {name!r}"
    try:
        document = client.read_block_document_by_name(
            name, CVATServer.get_block_type_slug(), include_secrets=False
        )
    except ObjectNotFound:
        document = None
    if settings is None:
        if document:
            return Change(verb="ok", what=what)
        detail = "not created, because no CVAT server is given: workers use their own environment"
        return Change(verb="note", what=what, detail=detail)
    if document is None or replace:
        return Change(
            verb="update" if document else "create",
            what=what,
            detail=f"{settings.host} as {settings.username or 'the owner of the access token'}",
            apply=partial(_save_block, settings, name, overwrite=replace),
        )
    host = document.data.get("host")
    if host == settings.host:
        return Change(verb="ok", what=what, detail=str(host))
    return Change(verb="note", what=what, detail=f"{host} is kept (--replace-block changes it)")


def _save_block(settings: ServerSettings, name: str, *, overwrite: bool) -> None:
    block = CVATServer(
        host=settings.host,
        access_token=SecretStr(settings.access_token) if settings.access_token else None,
        username=settings.username,
        password=SecretStr(settings.password) if settings.password else None,
        organization=settings.organization,
        verify_ssl=settings.verify_ssl,
    )
    block.save(name, overwrite=overwrite, _sync=True)  # type: ignore[call-arg]
