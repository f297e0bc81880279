"""Digests of files."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path


class FingerprintError(Exception):
    """A fingerprint cannot be computed. The text says why."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; remember it until its size or times change.

    Raises:
        FingerprintError: if the file cannot be read.
    """
    try:
        state = path.stat()
        # A copy may keep the time of its original, but not the time of this change.
        key = (str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        with _digests_lock:
            digest = _digests.get(key)
        if digest is None:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            with _digests_lock:
                _digests[key] = digest
    except OSError as error:
        raise FingerprintError(f"'{path}' cannot be read ({error.strerror}).") from error
    return digest


_digests: dict[tuple[str, int, int, int], str] = {}
_digests_lock = threading.Lock()
