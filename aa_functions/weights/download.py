"""Download weights that Ultralytics publishes, and say so.

A name is downloaded on first use, as Ultralytics does it, unless CVAT_FLOWS_OFFLINE is set. A run
that a worker started downloads nothing, because nobody watches it: there CVAT_FLOWS_DOWNLOAD=1 must
be set, which `cvat-flows setup --download-weights` does.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import file_digest
from pathlib import Path

from aa_functions.errors import WeightsNotFoundError

OFFLINE_VARIABLE = "CVAT_FLOWS_OFFLINE"
ALLOW_VARIABLE = "CVAT_FLOWS_DOWNLOAD"
URL_VARIABLE = "CVAT_FLOWS_WEIGHTS_URL"
WORKER_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Prefect's workers set it for the processes of their runs."""
DOWNLOAD_URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
DOWNLOAD_TIMEOUT = 30.0
"""Seconds without data after which a download fails."""
KNOWN_DIGESTS = {
    "yolo11m.pt": "d5ffc1a674953a08e11a8d21e022781b1b23a19b730afc309290bd9fb5305b95",
    "yolo11n.pt": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1",
    "yolo11s.pt": "85a76fe86dd8afe384648546b56a7a78580c7cb7b404fc595f97969322d502d5",
    "yolo11x.pt": "7bc158aa95c0ebfdd87f70f01653c1131b93e92522dbe15c228bcd742e773a24",
    "yolo26n.pt": "9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef",
    "yolov8m.pt": "5d4a90cdc7a21786cc59cd19778e9eafff836df9e2da32524737c7ee6efe4fe5",
    "yolov8n.pt": "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
    "yolov8s.pt": "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a",
}
"""SHA-256 of files of that release. Of other files only the length is checked."""

_forbidden: ContextVar[bool] = ContextVar("downloads_forbidden", default=False)


def may_download() -> bool:
    """Return whether weights may be downloaded now without being asked for explicitly."""
    return not _forbidden.get() and is_first_use_download()


def is_first_use_download() -> bool:
    """Return whether the settings let the first use of weights download them."""
    if is_offline():
        return False
    return not os.environ.get(WORKER_VARIABLE) or os.environ.get(ALLOW_VARIABLE) == "1"


def is_offline() -> bool:
    """Return whether nothing may ever be downloaded."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


@contextmanager
def no_downloads() -> Iterator[None]:
    """Download nothing inside this context, unless a function explicitly asks for it."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def why_not_downloaded(download: bool | None) -> str:
    """Return a sentence about what forbids a download, with a space behind it; or nothing.

    Args:
        download: The option of the function; None if it is not given.
    """
    if is_offline():
        return f"Nothing is downloaded, because {OFFLINE_VARIABLE} is set. "
    if download is False:
        return "Nothing is downloaded, because `download` is false. "
    if not is_first_use_download():
        return (
            "A worker's run downloads nothing, unless `cvat-flows setup --download-weights` "
            "allows it. "
        )
    return ""


def weights_url(name: str) -> str:
    """Return the address of a published file. CVAT_FLOWS_WEIGHTS_URL names a mirror."""
    return f"{(os.environ.get(URL_VARIABLE) or DOWNLOAD_URL).rstrip('/')}/{name}"


def download_weights(name: str, folder: Path) -> Path:
    """Download a file into a folder and return its path. Says on the error output what it does.

    Raises:
        WeightsNotFoundError: if the download fails or is not the file that it should be.
    """
    url = weights_url(name)
    target = folder / name
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as answer,
            tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as opened,
        ):
            part = Path(opened.name)
            expected = answer.headers.get("Content-Length")
            size = f"{int(expected) / 1e6:.1f} MB" if expected else "unknown size"
            _say(f"downloading {name} ({size}) from {url}")
            shutil.copyfileobj(answer, opened)
            if expected is not None and int(expected) != opened.tell():
                raise OSError(f"{opened.tell()} of {expected} bytes received")
        digest = _check_digest(part, name)
        part.replace(target)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise WeightsNotFoundError(
            f"The weights '{name}' could not be downloaded from {url} ({error}); "
            f"put the file into '{folder}' yourself."
        ) from error
    known = "as published" if name in KNOWN_DIGESTS else "only its length could be checked"
    _say(f"saved {target}, SHA-256 {digest} ({known})")
    return target


def _check_digest(path: Path, name: str) -> str:
    expected = KNOWN_DIGESTS.get(name)
    with path.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if expected not in (None, found):
        raise OSError(f"the file has the SHA-256 {found}, not {expected}: it was replaced")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
