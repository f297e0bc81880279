"""Links to runs and artifacts in the Prefect UI."""

from __future__ import annotations

import json
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from urllib.parse import urljoin

_TIMEOUT = 2.0
"""Seconds to wait for the server's answer."""


def flow_run_url(run_id: object) -> str | None:
    """Return the address of a flow run in the Prefect UI; None without a Prefect server."""
    base = _ui()
    return f"{base}/runs/flow-run/{run_id}" if base else None


def artifact_url(artifact_id: object) -> str | None:
    """Return the address of an artifact in the Prefect UI; None without a Prefect server."""
    base = _ui()
    return f"{base}/artifacts/artifact/{artifact_id}" if base else None


def _ui() -> str | None:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    api = settings.api.url
    base = settings.ui_url or (str(api).removesuffix("/api") if api else None)
    return preferred_ui(base.rstrip("/")) if base else None


@lru_cache(maxsize=8)
def preferred_ui(base: str) -> str:
    """Return the base address of the server's default UI.

    Prefect's own `url_for` always links to UI V1 and knows no artifacts.
    """
    try:
        with urllib.request.urlopen(f"{base}/ui-settings", timeout=_TIMEOUT) as answer:
            settings = json.load(answer)
        if settings.get("default_ui") == "v2" and settings.get("v2_base_url"):
            return urljoin(f"{base}/", str(settings["v2_base_url"])).rstrip("/")
    except (OSError, HTTPException, ValueError, AttributeError):
        pass
    return base
