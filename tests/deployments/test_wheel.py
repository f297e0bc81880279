"""The image's sources, the wheel and the sdist hold the same two packages, with every data file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("aa_functions", "cvat_flows")
# compose.yaml builds its images from a checkout, and these belong to it.
NOT_INSTALLED = {"docker-entrypoint.sh", "make-secrets.sh"}
BUILD = """\
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def build(what: str, source: Path, target: Path) -> Path:
    """Call setuptools' build backend without network, as `pip wheel --no-build-isolation` does."""
    target.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(target)],
        cwd=source,
        # Nothing from the checkout may be found by its import path.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


def is_ignored(path: Path, patterns: list[str]) -> bool:
    """Whether Docker leaves a path out; a pattern without `**/` counts from the root."""
    for pattern in patterns:
        name = pattern.removeprefix("**/")
        if name != pattern and fnmatch(path.name, name):
            return True
        if len(path.parts) == len(Path(pattern).parts) and fnmatch(str(path), pattern):
            return True
    return False


@pytest.fixture(scope="module")
def image_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder /src of the image: what the Dockerfile copies and .dockerignore lets through."""
    patterns = (ROOT / ".dockerignore").read_text().splitlines()

    def ignore(folder: str, names: list[str]) -> list[str]:
        inside = Path(folder).relative_to(ROOT)
        return [name for name in names if is_ignored(inside / name, patterns)]

    target = tmp_path_factory.mktemp("image") / "src"
    target.mkdir()
    for line in re.findall(r"^COPY (.+) (?!/)\S+$", (ROOT / "Dockerfile").read_text(), re.M):
        for name in line.split():
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(image_sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", image_sources, tmp_path_factory.mktemp("built") / "wheel")


@pytest.fixture(scope="module")
def sdist(image_sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_sdist", image_sources, tmp_path_factory.mktemp("built") / "sdist")


def files_in(source: Path) -> Iterator[tuple[str, bytes]]:
    """The files of both packages, by their paths in the wheel; links are followed."""
    for package in PACKAGES:
        for folder, _, names in os.walk(source / package, followlinks=True):
            for name in names:
                if name not in NOT_INSTALLED:
                    path = Path(folder) / name
                    yield str(path.relative_to(source)), path.read_bytes()


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name
        }


def test_the_wheel_holds_every_file_of_two_packages(image_sources: Path, wheel: Path) -> None:
    expected = dict(files_in(image_sources))
    for name in (
        "aa_functions/weights/shapes-yolov8n.pt",
        "cvat_flows/flows/cli.py",
        "cvat_flows/tasks/reports/preview_page.html",
        "cvat_flows/deployments/prefect.yaml",
        "cvat_flows/deployments/prefect-server.env",
    ):
        assert name in expected
    assert files_of(wheel) == expected


def test_the_sdist_holds_files_in_place_of_links(
    image_sources: Path, wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        assert all(member.isfile() or member.isdir() for member in archive)
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build("build_wheel", source, tmp_path / "wheel")
    assert files_of(again) == files_of(wheel)
