"""A function has one name, the same for all its versions; two functions have two."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aa_functions import FunctionReference, load_function, wrap_function

SPEC = """
from types import SimpleNamespace
from aa_functions import DetectionFunctionSpec, label_spec
labels = DetectionFunctionSpec(labels=[label_spec("car", 0)])
"""
MODULE = f"{SPEC}spec = labels\ndef detect(context, image): return []\n"
CLASS = f"{SPEC}class Cars:\n    spec = labels\n    def detect(self, context, image): return []\n"
CLOSURE = f"""{SPEC}
def make(name=None):
    def detect(context, image): return []
    return SimpleNamespace(spec=labels, detect=detect, function_name=name)
"""


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_files_of_one_name_are_different_functions(tmp_path: Path) -> None:
    one, other = (write(tmp_path / folder / "det.py", MODULE) for folder in "ab")
    names = {load_function(path).name for path in (one, other)}
    assert len(names) == 2
    assert {name.partition("@")[0] for name in names} == {"det.py"}


def test_a_file_keeps_its_name_when_it_is_edited_or_named_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "det.py", MODULE)
    before = load_function(path)
    write(tmp_path / "det.py", MODULE + "# edited\n")
    monkeypatch.chdir(tmp_path)
    after = load_function("det.py")
    assert (after.name, after.fingerprint != before.fingerprint) == (before.name, True)
    create = write(tmp_path / "made.py", f"{CLASS}\ndef create(size=1): return Cars()\n")
    assert load_function(create).name == load_function(create, {"size": 2}).name


def test_a_link_to_the_current_version_is_one_file(tmp_path: Path) -> None:
    names = []
    (tmp_path / "now").mkdir()
    for version in ("one", "two"):
        link = tmp_path / "now" / "det.py"
        link.unlink(missing_ok=True)
        link.symlink_to(write(tmp_path / version / "det.py", MODULE))
        names.append(load_function(str(link)).name)
    assert names[0] == names[1]


def test_a_name_can_be_given_or_declared(tmp_path: Path) -> None:
    declared = [
        write(tmp_path / folder / "det.py", f"{MODULE}function_name = 'cars'\n") for folder in "ab"
    ]
    assert [load_function(path).name for path in declared] == ["cars", "cars"]
    given = FunctionReference.named(declared[0], function_name="mine")
    assert load_function(given).name == "mine"
    assert load_function(given).fingerprint == load_function(declared[0]).fingerprint


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of this text, so that it can be loaded by name, too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(name: str, text: str) -> Any:
        write(tmp_path / f"{name}.py", text)
        made.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_a_live_object_has_the_name_by_which_it_can_be_loaded(modules: Any) -> None:
    module = modules("identity_module", MODULE)
    assert wrap_function(module).name == load_function("identity_module").name == "identity_module"
    maker = modules("identity_maker", f"{CLASS}\ncreate = Cars\n")
    assert wrap_function(maker.Cars()).name == load_function("identity_maker").name
    classes = modules("identity_classes", CLASS)
    assert wrap_function(classes.Cars()).name == "identity_classes:Cars"
    closures = modules("identity_closures", CLOSURE)
    assert wrap_function(closures.make()).name == "identity_closures:make.<locals>.detect"
    assert wrap_function(closures.make("cars")).name == "cars"


def test_a_live_module_from_a_file_has_the_name_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "det.py", MODULE)
    loaded = load_function(path)
    assert wrap_function(loaded.function).name == loaded.name
    spec = importlib.util.spec_from_file_location("anything", path)
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert wrap_function(other).name == loaded.name


def test_a_script_has_the_name_of_its_file(tmp_path: Path) -> None:
    text = f"{CLASS}\nfrom aa_functions import wrap_function\nprint(wrap_function(Cars()).name)\n"
    found = [
        subprocess.run(
            [sys.executable, write(tmp_path / folder / "run.py", text)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for folder in "ab"
    ]
    assert [name.partition("@")[0] for name in found] == ["run.py", "run.py"]
    assert found[0] != found[1]
    assert all(name.endswith(":Cars") for name in found)


def test_shipped_functions_are_named_by_their_modules() -> None:
    import aa_functions.shapes

    assert wrap_function(aa_functions.shapes).name == "aa_functions.shapes"
