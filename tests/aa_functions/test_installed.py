"""Short names of functions: entry points of a group that other packages can join."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from aa_functions.errors import FunctionReferenceError
from aa_functions.installed import full_name, installed_functions, short_name
from aa_functions.reference import load_function

FUNCTION = """
from aa_functions import DetectionFunctionSpec, label_spec
spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])
def detect(context, image):
    return []
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another package on Python's path that registers a function."""
    (tmp_path / "their_models.py").write_text(FUNCTION)
    metadata = tmp_path / "their_models-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[cvat_flows.functions]\ntheirs = their_models\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed_functions.cache_clear()
    yield tmp_path
    installed_functions.cache_clear()


def test_the_functions_that_ship_have_short_names() -> None:
    assert {"shapes", "yolo", "yolov8n"} <= set(installed_functions())
    loaded = load_function("shapes")
    assert (loaded.name, loaded.label) == ("aa_functions.shapes", "shapes")
    assert loaded.fingerprint == load_function("aa_functions.shapes").fingerprint
    model = load_function("yolo", {"model": "shapes-yolov8n"})
    assert (model.name, model.label) == ("aa_functions.yolo", "yolo (shapes-yolov8n)")


def test_another_package_can_join(package: Path) -> None:
    assert installed_functions()["theirs"] == "their_models"
    assert load_function("theirs").name == "their_models"
    assert (short_name("their_models"), full_name("theirs")) == ("theirs", "their_models")


def test_a_name_with_two_meanings_is_refused(package: Path) -> None:
    (package / "shapes.py").write_text(FUNCTION)
    with pytest.raises(FunctionReferenceError, match=r"both an installed function .* and a module"):
        load_function("shapes")
    assert load_function("aa_functions.shapes").label == "shapes"


def test_a_typo_is_recognized() -> None:
    with pytest.raises(FunctionReferenceError, match="did you mean 'yolov8n'"):
        load_function("yolov8nn")


@pytest.mark.parametrize("missing", ["cv2", "torch", "ultralytics"])
def test_what_to_install_for_a_function_that_ships(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    from aa_functions.loading import _import_failed

    error = ModuleNotFoundError(f"No module named {missing!r}", name=missing)
    text = str(_import_failed("module 'aa_functions.shapes'", error))
    assert f"to install {missing}: pip install 'cvat-flows[yolo]'" in text
    own = str(_import_failed("file 'mine.py'", error))
    assert ("cvat-flows[yolo]" in own) == (missing != "cv2")


def test_a_function_that_ships_is_called_as_its_module() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    shipped = project["project"]["entry-points"]["cvat_flows.functions"]
    assert "huggingface" in shipped
    assert shipped == {name: f"aa_functions.{name}" for name in shipped}
    assert [name for name in shipped if find_spec(shipped[name]) is None] == []
