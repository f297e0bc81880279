from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.stack import SECRET, Stack


def test_a_changed_webhook_is_repaired(stack: Stack, project: Any, tmp_path: Path) -> None:
    url = stack.receiver([stack.rule(project)])
    options = ["--webhook", str(project.id), "--webhook-url", url]
    stack.cvat_flows("setup", "--yes", *options)
    assert stack.is_set_up(*options)
    # Somebody sets another secret in CVAT and switches the webhook off.
    (hook,) = stack.webhooks(project)
    stack.change_webhook(hook["id"], {"secret": "another secret", "is_active": False})
    shown = stack.cvat_flows("setup", "--dry-run", *options)
    assert f"update CVAT webhook of project {project.id}" in shown
    stack.cvat_flows("setup", "--yes", *options)
    assert stack.is_set_up(*options)
    stack.change_webhook(hook["id"], {"secret": "another secret"})
    assert "secret" in stack.cvat_flows("setup", "--dry-run", *options)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    stack.cvat_flows("setup", "--yes", *options, "--secret-file", str(secret))
    assert len(stack.webhooks(project)) == 1
