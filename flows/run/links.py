"""Links to runs and artifacts in the Prefect UI."""

from __future__ import annotations

import json
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin

from prefect.settings import get_current_settings

_PATIENCE = 2.0
"""Seconds that the server gets to say which UI it prefers."""


def run_url(state: Any) -> str | None:
    """Address of the flow run that ended in `state`; None if no UI serves it."""
    run_id = state.state_details.flow_run_id
    return flow_run_url(run_id) if run_id else None


def flow_run_url(run_id: object) -> str | None:
    """Address of a flow run in the UI of the Prefect server in use; None without a server."""
    base = _ui()
    return f"{base}/runs/flow-run/{run_id}" if base else None


def artifact_url(artifact_id: object) -> str | None:
    """Address of an artifact in the UI of the Prefect server in use; None without a server."""
    base = _ui()
    return f"{base}/artifacts/artifact/{artifact_id}" if base else None


def _ui() -> str | None:
    settings = get_current_settings()
    api = settings.api.url
    base = settings.ui_url or (str(api).removesuffix("/api") if api else None)
    return preferred_ui(base.rstrip("/")) if base else None


@lru_cache(maxsize=8)
def preferred_ui(base: str) -> str:
    """The address below which the server's default UI lies: a path without it opens V1."""
    try:
        with urllib.request.urlopen(f"{base}/ui-settings", timeout=_PATIENCE) as answer:
            settings = json.load(answer)
        if settings.get("default_ui") == "v2" and settings.get("v2_base_url"):
            return urljoin(f"{base}/", str(settings["v2_base_url"])).rstrip("/")
    except (OSError, HTTPException, ValueError, AttributeError):
        pass
    return base
