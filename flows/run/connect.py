"""Log in to CVAT as a flow run does."""

import time

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.login import CannotConnect
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.engine.current import current_engine, run_logger

RECONNECT_TIMEOUT = 300.0
"""Seconds that a deployment's run waits for CVAT, for example while CVAT restarts."""
MAX_DELAY = 30.0
"""Maximum seconds between two attempts."""


def connect_for_run(settings: ServerSettings) -> Client:
    """Log in to CVAT. Raises CannotConnect.

    A deployment's run waits for a server that does not answer: at night nobody can start the run
    again. Any other run fails right away: the person who started it may have mistyped the address.
    """
    return connect_with_retries(settings) if current_engine().is_deployed else connect(settings)


def connect_with_retries(settings: ServerSettings) -> Client:
    """Log in to CVAT and retry transient errors. Raises CannotConnect."""
    end = time.monotonic() + RECONNECT_TIMEOUT
    delay = 1.0
    while True:
        try:
            return connect(settings)
        except CannotConnect as error:
            if not error.is_transient or time.monotonic() + delay > end:
                raise
            run_logger().warning("%s; next attempt in %g s", error, delay)
        time.sleep(delay)
        delay = min(2 * delay, MAX_DELAY)
