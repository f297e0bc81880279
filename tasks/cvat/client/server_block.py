"""The Prefect block of a CVAT server."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from cvat_flows.tasks.cvat.client.server import ServerSettings


class CVATServer(Block):
    """Address and credentials of a CVAT server."""

    _block_type_name = "CVAT server"
    _block_type_slug = "cvat-server"
    _description = "Address and credentials of a CVAT server that cvat-flows annotates."

    host: str = Field(description="Address, for example https://cvat.example.com")
    access_token: SecretStr | None = Field(
        default=None,
        description="Personal access token with write access; preferred to a password",
    )
    username: str | None = Field(default=None, description="User name, if there is no token")
    password: SecretStr | None = Field(default=None, description="Password of the user")
    organization: str | None = Field(
        default=None, description="Slug of the organization; empty for the personal workspace"
    )
    verify_ssl: bool = Field(default=True, description="Check the server's TLS certificate")

    def settings(self) -> ServerSettings:
        """Return the block's values as settings for `connect`."""
        return ServerSettings(
            host=self.host,
            access_token=self.access_token.get_secret_value() if self.access_token else None,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            organization=self.organization,
            verify_ssl=self.verify_ssl,
        )
