"""An empty SQLite database of Prefect, made once for all servers of the tests.

Prefect's migrations take a server five seconds of processor time when it starts without one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import prefect

DATABASE = "prefect.db"


def put_database(home: Path) -> None:
    """Put an empty database into a Prefect home that has none."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / DATABASE).exists():
        shutil.copyfile(_template(), home / DATABASE)


def _template() -> Path:
    folder = Path(tempfile.gettempdir()) / f"cvat-flows-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    template = folder / f"prefect-{prefect.__version__}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                _migrate(Path(made) / DATABASE)
                (Path(made) / DATABASE).rename(template)
    return template


def _migrate(database: Path) -> None:
    url = f"sqlite+aiosqlite:///{database}"
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
