"""Where a Prefect server can be configured. Each case runs in a new process without Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import sys
from cvat_flows.tasks.engine.configured import prefect_is_configured
found = prefect_is_configured()
assert "prefect" not in sys.modules
from prefect.settings import get_current_settings
assert (get_current_settings().api.url is not None) == found, "Prefect sees it otherwise"
print(found)
"""
URL = "http://127.0.0.1:4200/api"
PROFILES = f"""
active = "server"
[profiles.local]
PREFECT_LOGGING_LEVEL = "INFO"
[profiles.server]
PREFECT_API_URL = "{URL}"
"""


@pytest.mark.parametrize(
    ("files", "variables", "configured"),
    [
        ({}, {}, False),
        ({}, {"PREFECT_API_URL": URL}, True),
        ({"home/profiles.toml": PROFILES}, {}, True),
        ({"home/profiles.toml": PROFILES}, {"PREFECT_PROFILE": "local"}, False),
        ({"other.toml": PROFILES}, {"PREFECT_PROFILES_PATH": "other.toml"}, True),
        ({"prefect.toml": f'[api]\nurl = "{URL}"\n'}, {}, True),
        ({"prefect.toml": '[api]\nkey = "no address"\n'}, {}, False),
        ({"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n'}, {}, True),
        ({"pyproject.toml": '[project]\nname = "mine"\n'}, {}, False),
        ({".env": f"OTHER=1\nPREFECT_API_URL={URL}\n"}, {}, True),
        ({".env": f"# PREFECT_API_URL={URL}\n"}, {}, False),
    ],
)
def test_a_server_is_found_where_prefect_finds_it(
    tmp_path: Path, files: dict[str, str], variables: dict[str, str], configured: bool
) -> None:
    (tmp_path / "home").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env={**inherited, "PREFECT_HOME": str(tmp_path / "home"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(configured)
