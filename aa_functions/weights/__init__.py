"""Find a model's weights by path, or by name in the weights folders.

The weights folders are, in this order: those of the environment variable CVAT_FLOWS_WEIGHTS
(separated as in PATH), `~/.cvat-flows/weights`, and this package, which ships the project's own
model. The current folder is none of them: weights are a program, and that folder can be anybody's.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from aa_functions.errors import WeightsNotFoundError
from aa_functions.weights.download import (
    download_weights,
    is_first_use_download,
    is_offline,
    may_download,
    no_downloads,
    weights_url,
    why_not_downloaded,
)

__all__ = [
    "FOLDERS_VARIABLE",
    "SHIPPED_FOLDER",
    "find_weights",
    "is_first_use_download",
    "no_downloads",
    "user_weights_folder",
    "weights_folders",
]

FOLDERS_VARIABLE = "CVAT_FLOWS_WEIGHTS"
SHIPPED_FOLDER = Path(__file__).resolve().parent
_PUBLISHED = re.compile(r"(yolov?\d+\w*|rtdetr-\w+)(-\w+)?\.pt")
"""Names that Ultralytics gives to its models."""


def weights_folders() -> tuple[Path, ...]:
    """Return the folders in which names are searched, the user's first."""
    named = os.environ.get(FOLDERS_VARIABLE, "")
    chosen = tuple(Path(entry).expanduser() for entry in named.split(os.pathsep) if entry)
    return (*chosen, Path.home() / ".cvat-flows" / "weights", SHIPPED_FOLDER)


def user_weights_folder() -> Path:
    """Return the folder for weights of the user, downloads and exported networks."""
    return weights_folders()[0]


def find_weights(model: str | Path, *, download: bool | None = None) -> Path:
    """Return the path of the weights file.

    Args:
        model: A path (any text with a folder in it, such as `./yolov8n.pt`), or a name with or
            without `.pt`. Names are searched in the weights folders.
        download: Whether to download a name that no folder has. None: if Ultralytics publishes a
            model of this name, and `may_download()`.

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
    wanted = download
    if wanted is None:
        wanted = _PUBLISHED.fullmatch(name) is not None and not _is_here(name) and may_download()
    if wanted and not is_offline():
        return download_weights(name, user_weights_folder())
    raise WeightsNotFoundError(_not_found(name, folders, download))


def _is_here(name: str) -> bool:
    """Return whether the current folder has the file: the user means that one, and must say so."""
    return Path(name).is_file()


def _not_found(name: str, folders: Sequence[Path], download: bool | None) -> str:
    searched = ", ".join(f"'{folder}'" for folder in folders)
    missing = f"There are no weights '{name}' in {searched}."
    published = _PUBLISHED.fullmatch(name) is not None
    if published and not _is_here(name) and download is None and is_first_use_download():
        # Only `no_downloads` is in the way.
        return (
            f"{missing} The first use downloads them from {weights_url(name)} (AGPL-3.0) into "
            f"'{folders[0]}'."
        )
    present = [path.name for folder in folders if folder.is_dir() for path in folder.glob("*.pt")]
    near = difflib.get_close_matches(name, present, n=1, cutoff=0.8)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    if _is_here(name):
        hint = f"To use the one in the current folder, give its path: './{name}'. "
    source = "Put"
    if published:
        hint += why_not_downloaded(download)
        source = f"Download {weights_url(name)} (AGPL-3.0) yourself, and put"
    return (
        f"{missing} {hint}{source} the file into '{folders[0]}', give its path, or set "
        f"{FOLDERS_VARIABLE} to its folder."
    )
