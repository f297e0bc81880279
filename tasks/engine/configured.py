"""Find out whether a Prefect server is configured, without importing Prefect."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

API_URL = "PREFECT_API_URL"


def prefect_is_configured() -> bool:
    """Return whether runs are to be recorded by a Prefect server.

    They are inside of a flow run, and if Prefect's settings name a server: the variable
    PREFECT_API_URL, the active profile, or `.env`, `prefect.toml` or `pyproject.toml` in the
    current folder. Importing Prefect takes longer than a short run, so the files are read here.
    """
    if "prefect.context" in sys.modules:
        from prefect.context import FlowRunContext
        from prefect.settings import get_current_settings

        return FlowRunContext.get() is not None or get_current_settings().api.url is not None
    if API_URL in os.environ:
        return bool(os.environ[API_URL])
    return _in_dotenv() or _in_project() or _in_profile()


def _in_dotenv() -> bool:
    with suppress(OSError, UnicodeDecodeError):
        text = Path(".env").read_text()
        return re.search(rf"^\s*(export\s+)?{API_URL}\s*=\s*\S", text, re.MULTILINE) is not None
    return False


def _in_project() -> bool:
    project = _read_toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})
    return any(
        bool(settings.get("api", {}).get("url"))
        for settings in (project, _read_toml(Path("prefect.toml")))
    )


def _in_profile() -> bool:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = os.environ.get("PREFECT_PROFILES_PATH")
    profiles = _read_toml(Path(path) if path else home / "profiles.toml")
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    settings = profiles.get("profiles", {}).get(active) or {}
    return bool(settings.get(API_URL) or settings.get("api", {}).get("url"))


def _read_toml(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return tomllib.loads(path.read_text())
    return {}
