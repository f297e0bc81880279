"""`cvat-flows sandbox`: run a small CVAT-compatible server for demos and tests (admin/admin,
worker/worker).
"""

from __future__ import annotations

from cvat_flows.deployments.sandbox.options import configure, run
from cvat_flows.flows.commands.base.command import Command

COMMAND = Command(
    name="sandbox",
    configure=configure,
    run=run,
)
