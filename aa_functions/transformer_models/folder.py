"""Find the folder of a model: a local one, or a pinned revision in the cache of the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from aa_functions.errors import TransformersError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = ("*.safetensors", "*.bin")
_OTHER_FILES = ("*.json", "*.txt", "*.model")


def find_model(model: str | Path, revision: str | None, *, download: bool) -> Path:
    """Return the folder of a model.

    Args:
        model: Path of a folder that `save_pretrained` wrote, or the name of a model on the Hub.
        revision: Of a model on the Hub: the commit, 40 hexadecimal digits.
        download: Fetch what is missing from the Hub. Otherwise nothing is asked of the network.

    Raises:
        TransformersError: if there is no such folder, or it is not that of a model.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(str(model), revision, download=download)
    elif revision is not None:
        raise TransformersError(
            f"'{model}' is a folder, which has no revision: leave 'revision' out."
        )
    if not (folder / "config.json").is_file():
        raise TransformersError(
            f"'{folder}' has no config.json: 'model' must be a folder that save_pretrained wrote."
        )
    if not any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        raise TransformersError(
            f"'{folder}' has no weights (*.safetensors or *.bin): copy them into it"
            + (", or set 'download'." if revision else ".")
        )
    return folder


def model_files(folder: Path) -> dict[str, Path]:
    """Return the files that decide what a model detects, by their names in the folder."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".md"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _from_hub(name: str, revision: str | None, *, download: bool) -> Path:
    if not _HUB_NAME.fullmatch(name):
        raise TransformersError(
            f"There is no folder '{name}': 'model' must be a folder that save_pretrained wrote, or "
            "the name of a model on the Hugging Face Hub."
        )
    if revision is None or not _COMMIT.fullmatch(revision):
        raise TransformersError(
            f"There is no folder '{name}'. For a model on the Hugging Face Hub give 'revision', "
            "the 40 digits of its commit (under Files and versions): what a branch means can "
            "change."
        )
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def snapshot(*patterns: str) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, local_files_only=not download, allow_patterns=patterns
            )
        )

    try:
        folder = snapshot(_WEIGHTS[0], *_OTHER_FILES)
        if download and not any(folder.glob(_WEIGHTS[0])):
            folder = snapshot(_WEIGHTS[1], *_OTHER_FILES)
    except LocalEntryNotFoundError as error:
        how = (
            "the Hub does not answer: try again, or copy the folder from another machine"
            if download
            else "set 'download' to true once, or give a folder"
        )
        raise TransformersError(
            f"'{name}' at {revision[:12]} is not in the cache of this machine: {how}."
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise TransformersError(
            f"'{name}' at {revision[:12]} cannot be fetched from the Hugging Face Hub ({reason}): "
            "check 'model' and 'revision'."
        ) from error
    return folder
