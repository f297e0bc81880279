"""The commands of docs/quickstart.md work as they are written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cvat_flows.deployments.listening import free_port

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"
READY = "until curl -sf http://127.0.0.1:8080/api/server/about > /dev/null; do sleep 0.2; done"


@pytest.mark.slow
def test_commands_work_in_the_order_of_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text()
    (drawing,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    lines = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    script = [
        "set -eu",
        "trap 'kill %1 || true' EXIT",
        lines[0],
        f"cat > draw.py <<'END'\n{drawing}END",
        lines[1],
        READY,
    ]
    script += [f"echo '$ {number}'\n{line}" for number, line in enumerate(lines[2:], 2)]
    environment = {name: value for name, value in os.environ.items() if name[:5] != "CVAT_"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script).replace("8080", str(free_port()))],
        cwd=tmp_path,
        env={**environment, "PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        raise
    assert shell.returncode == 0, output
    assert "the function fits the task" in output
    assert (tmp_path / "quickstart" / "preview-1.html").exists()
    assert "19 of 20 frames annotated, 1 failed" in output
    assert "exit status 1" in output
    assert "1 of 1 frame annotated, 19 skipped (19 done before)" in output
    deleted = re.findall(r"shapes\W+1\W+20\W+(\d+)\W+0\b", output)
    assert len(deleted) == 2, output  # the dry run and the undo
    assert deleted[0] == deleted[1] != "0"
