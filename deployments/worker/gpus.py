"""Find the GPUs of this machine, and choose some of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from cvat_flows.flows.commands.base.usage_error import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALL = "all"
NO_GPU = ("none", "cpu")
_TIMEOUT = 30.0
"""Seconds. After a start of the machine the driver takes some."""


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    If the variable is set, for example by Slurm, its GPUs are those. Otherwise `nvidia-smi` is
    asked.

    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-8f3a,-1,0"})
    ['2', 'GPU-8f3a']
    """
    given = environment.get(VISIBLE)
    if given is None:
        return _installed_gpus(environment)
    names = [name.strip() for name in given.split(",")]
    # CUDA ignores all after the first one that does not exist.
    ends = [n for n, name in enumerate(names) if name in ("", "-1")]
    return names[: ends[0]] if ends else names


def choose_gpus(text: str, visible: Sequence[str]) -> list[str]:
    """Return the chosen GPUs, as CUDA_VISIBLE_DEVICES names them.

    Args:
        text: `all`, `none`, `cpu`, or numbers with commas. A number counts within `visible`, as
            CUDA's own numbers do. A name as in CUDA_VISIBLE_DEVICES (`GPU-8f3a`) works, too.
        visible: The GPUs that this process may use.

    Raises:
        UsageError: if there are no GPUs, or not these.

    >>> choose_gpus("1,0", ["2", "5"])
    ['5', '2']
    >>> choose_gpus("none", ["2", "5"])
    []
    """
    if text in NO_GPU:
        return []
    if not visible:
        raise UsageError(
            f"--gpus {text}: no GPU is visible ({VISIBLE} is empty, or nvidia-smi lists none); "
            "for a worker without a GPU use --gpus none"
        )
    if text == ALL:
        return list(visible)
    chosen: list[str] = []
    for part in text.split(","):
        word = part.strip()
        if word.isdecimal() and int(word) < len(visible):
            gpu = visible[int(word)]
        elif word in visible and not word.isdecimal():
            gpu = word
        else:
            count = f"numbers from 0 to {len(visible) - 1}" if len(visible) > 1 else "the number 0"
            raise UsageError(
                f"--gpus {text}: there is no GPU {word!r}; give {ALL}, none, or {count}"
            )
        if gpu in chosen:
            raise UsageError(f"--gpus {text}: the GPU {word} is named twice")
        chosen.append(gpu)
    return chosen


def _installed_gpus(environment: Mapping[str, str]) -> list[str]:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []  # no driver
    return [line.strip() for line in answer.stdout.splitlines() if line.strip().isdecimal()]
