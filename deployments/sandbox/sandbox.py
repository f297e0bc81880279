"""The sandbox without HTTP: its services, which request handlers use."""

from __future__ import annotations

from pathlib import Path

from cvat_flows.deployments.sandbox.accounts import Accounts
from cvat_flows.deployments.sandbox.faults import Faults
from cvat_flows.deployments.sandbox.media.importing import Importer
from cvat_flows.deployments.sandbox.notifier import Notifier
from cvat_flows.deployments.sandbox.store import Store


class Sandbox:
    """The services of one sandbox, on one data folder."""

    def __init__(self, folder: Path, *, quirks: bool = False, new_webhooks: bool = False) -> None:
        """Open the folder and resume imports that were interrupted.

        Args:
            folder: Keeps everything; created if missing.
            quirks: Also imitate known bugs of CVAT 2.54.
            new_webhooks: Offer the webhooks of CVAT 2.76: events about imports, and webhooks
                for the whole server.
        """
        self.quirks = quirks
        self.store = Store(folder)
        self.faults = Faults()
        self.accounts = Accounts(self.store)
        self.notifier = Notifier(self.store, new_webhooks=new_webhooks)
        self.importer = Importer(self.store, self.notifier)
