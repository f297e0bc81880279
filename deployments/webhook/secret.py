"""Read the secret that CVAT signs its deliveries with."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.model.credentials import remember

SECRET_VARIABLE = "CVAT_FLOWS_WEBHOOK_SECRET"
MIN_SECRET_LENGTH = 16


def read_secret(path: Path | None) -> str:
    """Read the secret from a file, or from the environment if `path` is None.

    Raises UsageError if it is missing, unreadable, writable for others or short enough to guess.
    """
    if path is None:
        secret = os.environ.get(SECRET_VARIABLE, "")
        source = f"variable {SECRET_VARIABLE}"
    else:
        source = f"--secret-file {path}"
        try:
            secret = path.read_text().strip()
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(f"{source} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{source} is not text") from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(
                f"{source}: other users can write to it and so choose the secret; run "
                f"`chmod 600 {path}`"
            )
        if mode & stat.S_IRWXO:
            logging.warning("%s: every user can read it, run chmod 600 %s", source, path)
    remember(secret)
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
