"""Check the compose file, the Dockerfile and the shell scripts without a container engine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names

from aa_functions.weights import FOLDERS_VARIABLE
from cvat_flows.deployments.local_server import shipped_settings
from cvat_flows.deployments.setup.deployment_file import FILE
from cvat_flows.deployments.setup.gpu_limits import GPUS_VARIABLE
from cvat_flows.flows.sweep.parameters import RULES_VARIABLE
from cvat_flows.flows.sweep.rules_file import read_rules

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "deployments" / "docker-entrypoint.sh"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"migrate", "setup"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_pinned_image_a_healthcheck_and_restarts(name: str) -> None:
    service = SERVICES[name]
    image = service["image"]
    if image.startswith("cvat-flows:"):
        assert service["build"]["target"] == image.partition(":")[2]
    else:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+", image), image
    assert (service["restart"] == "no") == (name in ONE_SHOT)
    assert ("healthcheck" in service) == (name not in ONE_SHOT)


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_conditions_that_can_be_met(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        finished = how["condition"] == "service_completed_successfully"
        assert finished == (other in ONE_SHOT)


def test_no_password_is_in_the_file() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|AUTH", key):
                assert key.endswith("_FILE"), (name, key)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, key)
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())


def test_volumes_and_configs_are_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"]


def test_folders_mounted_from_the_checkout_are_in_no_image() -> None:
    mounted = {str(secret["file"]) for secret in COMPOSE["secrets"].values()}
    for service in SERVICES.values():
        mounted |= {volume.partition(":")[0] for volume in service.get("volumes", [])}
    folders = {path.split("/")[1] for path in mounted if path.startswith("./")}
    assert folders == {"secrets", "rules", "weights"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"deployments/{folder}" for folder in folders} <= set(ignored)


def test_the_receiver_has_only_what_it_needs() -> None:
    webhook = SERVICES["webhook"]
    assert set(webhook["secrets"]) == {"prefect_auth", "webhook_secret"}
    assert "volumes" not in webhook
    assert not [name for name in webhook["environment"] if name.startswith("CVAT_ACCESS")]


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_functions_find_their_weights_and_rules(name: str) -> None:
    targets = [volume.split(":")[1] for volume in SERVICES[name]["volumes"]]
    environment = SERVICES[name]["environment"]
    assert environment[FOLDERS_VARIABLE] in targets
    assert str(Path(environment[RULES_VARIABLE]).parent) in targets


def test_setup_changes_no_limit_by_itself() -> None:
    setup = SERVICES["setup"]
    assert "--gpus" not in setup["command"]
    assert setup["environment"][GPUS_VARIABLE] is None  # taken from the shell, if it is set there


def test_every_prefect_setting_exists() -> None:
    known = _get_valid_setting_names(Settings)
    for service in SERVICES.values():
        for key in service.get("environment", {}):
            if key.startswith("PREFECT_"):
                assert key.removesuffix("_FILE") in known, key


def test_the_settings_for_one_machine_are_the_same() -> None:
    settings = shipped_settings("http://127.0.0.1:4200")
    assert set(settings) <= _get_valid_setting_names(Settings)
    only_for_many_servers = re.compile("API_|DATABASE|MESSAGING|CAUSAL_ORDERING|REDIS")
    for key, value in SERVICES["api-1"]["environment"].items():
        if not only_for_many_servers.search(key):
            default = re.fullmatch(r"\$\{\w+:-(.*)\}", value)
            same = (default[1] if default else value) == settings[key]
            assert same or key == "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"


def test_an_installation_has_all_its_parts() -> None:
    commands = {name: " ".join(service.get("command", [])) for name, service in SERVICES.items()}
    assert all("--no-services" in commands[name] for name in ("api-1", "api-2"))
    assert "server services start" in commands["services"]
    assert "--pool cvat " in commands["worker-cpu"]
    assert "cvat-gpu" in commands["worker-gpu"]
    assert "cvat-gpu" in commands["setup"]
    devices = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]


def entrypoint(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ENTRYPOINT), *command],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_secrets_come_from_files(tmp_path: Path) -> None:
    for name, text in {"token": "t0ken", "redis": "pa55"}.items():
        (tmp_path / name).write_text(text + "\n")
    done = entrypoint(
        {
            "CVAT_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
            "REDIS_HOST": "redis",
            "REDIS_PASSWORD_FILE": str(tmp_path / "redis"),
        },
        "env",
    )
    env = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert env["CVAT_ACCESS_TOKEN"] == "t0ken"
    assert env["PREFECT_REDIS_MESSAGING_URL"] == "redis://default:pa55@redis:6379/0"
    assert env["PREFECT_SERVER_DOCKET_URL"] == "redis://default:pa55@redis:6379/1"
    assert not {"CVAT_ACCESS_TOKEN_FILE", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE"} & set(env)


@pytest.mark.parametrize(
    ("content", "error"), [(None, "cannot be read"), ("p@ss/word", "letters, digits")]
)
def test_a_wrong_secret_stops_the_container(
    tmp_path: Path, content: str | None, error: str
) -> None:
    path = tmp_path / "redis"
    if content is not None:
        path.write_text(content)
    done = entrypoint({"REDIS_HOST": "redis", "REDIS_PASSWORD_FILE": str(path)}, "env")
    assert (done.returncode, error in done.stderr, done.stdout) == (1, True, "")


def make_secrets(script: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with a umask that hides new files from other users."""
    command = ["sh", "-c", f"umask 077; sh {script}"]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_the_containers_user_can_read_the_created_files(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((ROOT / "deployments" / "make-secrets.sh").read_bytes())
    assert "yolov8n.pt" in make_secrets(script).stdout
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777
        for path in tmp_path.rglob("*")
        if path != script
    }
    # Secrets are mounted one by one, the other two as folders.
    assert modes.pop("secrets") == 0o700
    assert modes.pop("rules") & modes.pop("weights") & 0o555 == 0o555
    assert set(modes) == {"rules/rules.yaml", *(f"secrets/{name}" for name in COMPOSE["secrets"])}
    assert all(mode & 0o444 == 0o444 for mode in modes.values()), modes


def test_secrets_are_created_once_and_differ(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((ROOT / "deployments" / "make-secrets.sh").read_bytes())
    for _ in range(2):
        done = make_secrets(script)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert made.pop("cvat_access_token") == ""
    assert "access token" in done.stdout
    assert len(set(made.values())) == len(made)
    assert all(len(secret) >= 48 for secret in made.values())
    assert [str(rule) for rule in read_rules(tmp_path / "rules" / "rules.yaml")] == ["example"]


def test_the_dockerfile_has_both_targets_and_names_no_address() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M) == [
        ("python:${PYTHON}", "base"),
        ("base", "cpu"),
        ("base", "cuda"),
    ]
    assert "://" not in text
    assert text.count("-c constraints.txt") == 3
    assert re.findall(r'"\.\[([\w,]+)\]"', text) == ["yolo,scale,s3"] * 2
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.M):
        for name in copied.split():
            assert (ROOT / name).exists(), name


def test_the_constraints_pin_every_extra() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    for extra, requirements in PYPROJECT["project"]["optional-dependencies"].items():
        names = {re.match(r"[\w-]+", one)[0].lower() for one in requirements}  # type: ignore[index]
        assert names <= pinned, extra


def test_the_deployments_state_the_pinned_version_of_prefect() -> None:
    stated = yaml.safe_load(FILE.read_text())["prefect-version"]
    assert f"prefect=={stated}" in (ROOT / "constraints.txt").read_text().splitlines()
