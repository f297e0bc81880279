"""Find a model's weights by path, or by name in the weights folders.

The weights folders are, in this order: those of the environment variable CVAT_FLOWS_WEIGHTS
(separated as in PATH), `~/.cvat-flows/weights`, and this package, which ships the project's own
model. The current folder is none of them: weights are a program, and that folder can be anybody's.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path

from aa_functions.errors import WeightsNotFoundError

FOLDERS_VARIABLE = "CVAT_FLOWS_WEIGHTS"
SHIPPED_FOLDER = Path(__file__).resolve().parent
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


def weights_folders() -> tuple[Path, ...]:
    """Return the folders in which names are searched, the user's first."""
    named = os.environ.get(FOLDERS_VARIABLE, "")
    chosen = tuple(Path(entry).expanduser() for entry in named.split(os.pathsep) if entry)
    return (*chosen, Path.home() / ".cvat-flows" / "weights", SHIPPED_FOLDER)


def user_weights_folder() -> Path:
    """Return the folder for weights of the user, downloads and exported networks."""
    return weights_folders()[0]


def find_weights(model: str | Path, *, download: bool = False) -> Path:
    """Return the path of the weights file.

    Args:
        model: A path (any text with a folder in it, such as `./yolov8n.pt`), or a name with or
            without `.pt`. Names are searched in the weights folders.
        download: If no folder has the name, download it from Ultralytics' releases. By default
            nothing is ever downloaded.

    Raises:
        WeightsNotFoundError: if there is no such file, or the download fails or is not the file
            that it should be.

    >>> find_weights("shapes-yolov8n").name
    'shapes-yolov8n.pt'
    """
    text = str(model)
    if not text.strip():
        raise WeightsNotFoundError("The model is empty: give the name or path of a weights file.")
    if Path(text).name != text:
        path = Path(text).expanduser()
        if path.is_file():
            return path
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsNotFoundError(
            f"The weights file '{path}' {kind} (in '{path.parent.absolute()}')."
        )
    name = text if Path(text).suffix else f"{text}.pt"
    folders = weights_folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    if download:
        return _download(name, user_weights_folder())
    raise WeightsNotFoundError(_not_found(name, folders))


def _not_found(name: str, folders: Sequence[Path]) -> str:
    searched = ", ".join(f"'{folder}'" for folder in folders)
    present = [path.name for folder in folders if folder.is_dir() for path in folder.glob("*.pt")]
    near = difflib.get_close_matches(name, present, n=1, cutoff=0.8)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    if Path(name).is_file():
        hint = f"To use the one in the current folder, give its path: './{name}'. "
    return (
        f"There are no weights '{name}' in {searched}. {hint}"
        f"Put the file into '{folders[0]}', give its path, or set {FOLDERS_VARIABLE} to its "
        f"folder. Ultralytics publishes its models (AGPL-3.0) at {DOWNLOAD_URL}/; "
        "aa_functions.yolo downloads them with -p download=bool:true."
    )


def _download(name: str, folder: Path) -> Path:
    url = f"{DOWNLOAD_URL}/{name}"
    target = folder / name
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as answer,
            tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as opened,
        ):
            part = Path(opened.name)
            shutil.copyfileobj(answer, opened)
            expected = answer.headers.get("Content-Length")
            if expected is not None and int(expected) != opened.tell():
                raise OSError(f"{opened.tell()} of {expected} bytes received")
        _check_digest(part, name)
        part.replace(target)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise WeightsNotFoundError(
            f"The weights '{name}' could not be downloaded from {url} ({error}); "
            f"put the file into '{folder}' yourself."
        ) from error
    return target


def _check_digest(path: Path, name: str) -> None:
    expected = KNOWN_DIGESTS.get(name)
    with path.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if expected not in (None, found):
        raise OSError(f"the file has the SHA-256 {found}, not {expected}: it was replaced")
