"""Log in to CVAT as a flow run does."""

import time

from cvat_sdk import Client
from prefect.logging import get_run_logger
from prefect.runtime import deployment

from cvat_flows.tasks.cvat.connection import CannotConnect, ServerSettings, connect

PATIENCE = 300.0
"""Seconds in which a deployment's run waits for a CVAT that is being restarted."""
LONGEST_WAIT = 30.0
"""Seconds between two attempts."""


def connect_for_run(settings: ServerSettings) -> Client:
    """Log in to CVAT. A deployment's run waits for a server that does not answer now: at night
    nobody is there to start it again; a person who has mistyped an address wants to know.

    Raises CannotConnect.
    """
    return connect_patiently(settings) if deployment.id else connect(settings)


def connect_patiently(settings: ServerSettings) -> Client:
    """Log in, and try what may pass again. Raises CannotConnect."""
    end = time.monotonic() + PATIENCE
    wait = 1.0
    while True:
        try:
            return connect(settings)
        except CannotConnect as error:
            if not error.is_transient or time.monotonic() + wait > end:
                raise
            get_run_logger().warning("%s; trying again in %g s", error, wait)
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
