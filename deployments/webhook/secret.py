"""Read the secret that CVAT signs its deliveries with."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from cvat_flows.flows.commands.usage_error import UsageError

SECRET_VARIABLE = "CVAT_FLOWS_WEBHOOK_SECRET"
MIN_SECRET_LENGTH = 16


def read_secret(path: Path | None) -> str:
    """Read the secret from a file, or from the environment if `path` is None.

    Raises UsageError if it is missing, unreadable or short enough to guess.
    """
    if path is None:
        secret = os.environ.get(SECRET_VARIABLE, "")
        source = f"variable {SECRET_VARIABLE}"
    else:
        source = f"--secret-file {path}"
        try:
            secret = path.read_text().strip()
            if stat.S_IMODE(path.stat().st_mode) & 0o007:
                logging.warning("%s: every user can read it, run chmod o-rwx %s", source, path)
        except OSError as error:
            raise UsageError(f"{source} cannot be read ({error.strerror})") from error
    if not secret:
        raise UsageError(
            f"the webhook has no secret: give --secret-file or set {SECRET_VARIABLE} to the same "
            "secret as in CVAT"
        )
    if len(secret) < MIN_SECRET_LENGTH:
        raise UsageError(
            f"{source}: the secret is shorter than {MIN_SECRET_LENGTH} characters; create one with "
            "`openssl rand -hex 32`"
        )
    return secret
