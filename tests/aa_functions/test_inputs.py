"""Files that a function reads without declaring them count, or its results are not kept."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sqlite3
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from aa_functions import LoadedFunction, load_function, wrap_function
from aa_functions.inputs.opened_files import FileObserver, is_input

HEAD = """
    import json, os
    from pathlib import Path
    from aa_functions import DetectionFunctionSpec, label_spec

    SPEC = DetectionFunctionSpec(labels=[label_spec("car", 0)])
    HERE = Path(__file__).parent

    def read(path):
        with open(path) as file:
            return file.read()

    class Function:
        spec = SPEC
        def detect(self, context, image):
            return []
"""
LOADERS = {
    "open": "read(HERE / 'best.json')",
    "computed": "read(os.path.join(HERE, 'be' + 'st.json'))",
    "environment": "Path(os.environ['WEIGHTS']).read_bytes()",
    "os.open": "os.close(os.open(f'{HERE}/best.json', os.O_RDONLY))",
    "bytes path": "read(os.fsencode(HERE) + b'/best.json')",
    "relative": "read('best.json')",
    "numpy": "__import__('numpy').fromfile(str(HERE) + '/best.json', dtype='u1')",
    "numpy memmap": "__import__('numpy').memmap(str(HERE) + '/best.json', mode='r')",
    "sqlite": "__import__('sqlite3').connect(f'{HERE}/best.json').close()",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHTS", str(tmp_path / "best.json"))
    (tmp_path / "best.json").write_text("1")
    return tmp_path


def write(folder: Path, source: str, name: str = "f.py") -> str:
    (folder / name).write_text(dedent(HEAD) + "\n" + dedent(source))
    return str(folder / name)


def fingerprint_of(path: str, **parameters: Any) -> str | None:
    return load_function(path, parameters).fingerprint


def retrain(folder: Path, name: str = "best.json") -> None:
    (folder / name).write_text((folder / name).read_text() + "2")


@pytest.mark.parametrize("how", LOADERS)
def test_a_file_that_is_read_on_creation_counts(folder: Path, how: str) -> None:
    path = write(folder, f"def create():\n    {LOADERS[how]}\n    return Function()")
    before = fingerprint_of(path)
    assert before is not None
    assert fingerprint_of(path) == before
    retrain(folder)
    assert fingerprint_of(path) not in (None, before)


@pytest.mark.parametrize("how", ["computed", "environment"])
def test_a_file_that_is_read_on_import_counts(folder: Path, how: str) -> None:
    path = write(folder, f"{LOADERS[how]}\nspec, detect = SPEC, print")
    before = fingerprint_of(path)
    retrain(folder)
    assert fingerprint_of(path) not in (None, before)


def test_a_file_that_a_thread_of_the_function_reads_counts(folder: Path) -> None:
    source = """
    from concurrent.futures import ThreadPoolExecutor

    def create():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(read, HERE / ("be" + "st.json")).result()
        return Function()
    """
    path = write(folder, source)
    before = fingerprint_of(path)
    retrain(folder)
    assert fingerprint_of(path) not in (None, before)


def test_where_the_files_lie_does_not_count(folder: Path) -> None:
    (folder / "other").mkdir()
    source = f"def create():\n    {LOADERS['computed']}\n    return Function()"
    path, moved = write(folder, source), write(folder, source, "other/g.py")
    (folder / "other" / "best.json").write_text("1")
    assert fingerprint_of(path) == fingerprint_of(moved)


def test_files_of_the_same_name_are_not_mixed_up(folder: Path) -> None:
    for name in "ab":
        (folder / name).mkdir()
        (folder / name / "x.json").write_text(name)
    source = """
    def create():
        for name in "ab":
            read(f"{HERE}/{name}/x.json")
        return Function()
    """
    path = write(folder, source)
    before = fingerprint_of(path)
    for name, other in ("ab", "ba"):
        (folder / name / "x.json").write_text(other)
    assert fingerprint_of(path) != before


def test_what_is_no_input_does_not_count(folder: Path) -> None:
    plain = fingerprint_of(write(folder, "def create():\n    return Function()"))
    assert plain
    source = """
    def create():
        import colorsys, numpy, yaml, importlib.metadata
        importlib.metadata.version("attrs")
        read("/proc/self/status")
        read("/etc/passwd")
        with open(HERE / "log.txt", "a") as log:
            print("created", file=log)
        read(HERE / "log.txt")
        return Function()
    """
    path = write(folder, source)
    loaded = load_function(path)
    assert loaded.watched is not None
    assert loaded.watched.files == []
    assert fingerprint_of(path) == loaded.fingerprint


@pytest.mark.parametrize(
    "writes",
    [
        "open('log.txt', 'a').close()",
        "open(HERE / 'log.txt', mode='r+').close()",
        "Path('log.txt').open('w').close()",
        "(HERE / 'log.txt').write_text('x')",
        "__import__('logging').FileHandler('log.txt').close()",
        "where = 'calls'; open(where, 'a').close()",
    ],
)
def test_a_file_that_is_named_to_be_written_is_no_input(folder: Path, writes: str) -> None:
    for name in ("log.txt", "calls"):
        (folder / name).write_text("earlier")
    path = write(folder, f"def detect(context, image):\n    {writes}\nspec = SPEC")
    loaded = load_function(path)
    assert loaded.watched is not None
    assert loaded.watched.files == []
    assert detect(loaded) is None


def test_fingerprint_inputs_wins(folder: Path) -> None:
    source = "def fingerprint_inputs():\n    return {}\nspec, detect = SPEC, print"
    path = write(folder, f"{LOADERS['computed']}\n{source}")
    loaded = load_function(path)
    retrain(folder)
    assert loaded.watched is None
    assert fingerprint_of(path) == loaded.fingerprint


# -- native code -----------------------------------------------------------------------------

READER = """
    import onnxruntime

    class Native(Function):
        def __init__(self, weights="none"):
            self.weights = weights
            self.session = onnxruntime

    create = Native
"""


def test_a_file_that_native_code_reads_counts_if_it_is_named(folder: Path) -> None:
    for source, name in {
        READER.replace('"none"', '"cars.onnx"'): "cars.onnx",
        READER.replace("= weights", "= f'{HERE}/models/' + 'b.onnx'"): "models/b.onnx",
        READER.replace("= weights", "= HERE / 'models' / 'b.onnx'"): "models/b.onnx",
        # Not named, but beside the function.
        READER: "cars.onnx",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("1")
        path = write(folder, source)
        before = fingerprint_of(path)
        assert before is not None
        retrain(folder, name)
        assert fingerprint_of(path) not in (None, before), source
        (folder / name).unlink()


def test_a_parameter_names_the_file_of_native_code(folder: Path) -> None:
    path = write(folder, READER)
    (folder / "x").mkdir()
    weights = folder / "x" / "cars.onnx"
    weights.write_text("1")
    before = fingerprint_of(path, weights=str(weights))
    assert before is not None
    assert fingerprint_of(path, weights=str(weights)) == before
    # A second file of the model, which the network names.
    (folder / "x" / "cars.onnx.data").write_text("1")
    assert fingerprint_of(path, weights=str(weights)) not in (None, before)


@pytest.mark.parametrize(
    "use",
    [
        "import onnxruntime",
        "import torch; torch.jit.load",
        "from torch import jit; jit.load",
    ],
)
def test_without_a_known_file_native_code_has_no_fingerprint(folder: Path, use: str) -> None:
    if "torch" in use:
        pytest.importorskip("torch")
    path = write(folder, f"{use}\nspec, detect = SPEC, print")
    loaded = load_function(path)
    assert loaded.fingerprint is None
    assert "opens files unseen, and names no file that ends in" in loaded.unknown


# -- while it detects ---------------------------------------------------------------------------


def detect(loaded: LoadedFunction, name: str = "a.png") -> str | None:
    """Call the function as a run does, and return what its fingerprint lacks."""
    assert loaded.watched is not None
    with loaded.watched.observing():
        loaded.function.detect(name, None)
    return loaded.watched.missing_input()


def test_a_file_that_is_read_late_is_missing(folder: Path) -> None:
    source = """
    def detect(context, image):
        return [read(HERE / ("be" + "st.json"))]
    spec = SPEC
    """
    loaded = load_function(write(folder, source))
    assert detect(loaded) == str(folder / "best.json")


def test_a_file_that_is_named_may_be_read_late(folder: Path) -> None:
    source = """
    import functools
    @functools.cache
    def model():
        return read("best.json")
    def detect(context, image):
        return model()
    spec = SPEC
    """
    path = write(folder, source)
    loaded = load_function(path)
    assert detect(loaded) is None
    later = load_function(path)
    retrain(folder)
    assert detect(later) == str(folder / "best.json")


def test_a_file_of_a_single_frame_is_missing(folder: Path) -> None:
    source = """
    def detect(context, image):
        with open(HERE / "log.txt", "a") as log:
            print(context, file=log)
        hints = HERE / context
        return json.loads(hints.read_text()) if hints.exists() else []
    spec = SPEC
    """
    loaded = load_function(write(folder, source))
    (folder / "b.png").write_text("[]")
    assert detect(loaded, "a.png") is None
    assert detect(loaded, "b.png") == str(folder / "b.png")
    assert detect(loaded, "a.png") == str(folder / "b.png")


def test_what_other_threads_read_is_not_the_functions(folder: Path) -> None:
    begin, end = threading.Event(), threading.Event()

    def other() -> None:
        begin.wait(60)
        (folder / "best.json").read_text()
        end.set()

    thread = threading.Thread(target=other)
    thread.start()
    observer = FileObserver()
    observer.sources = frozenset({"/elsewhere.py"})
    with observer.observing():
        begin.set()
        assert end.wait(60)
    thread.join()
    assert observer.take() == []
    (folder / "best.json").read_text()
    assert observer.take() == []
    with observer.observing():
        (folder / "best.json").read_text()
    assert observer.take() == [str(folder / "best.json")]


# -- modules that stay in the process -------------------------------------------------------------


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write and forget a module that can be imported."""
    monkeypatch.syspath_prepend(folder)
    made: list[str] = []

    def make(name: str, source: str) -> str:
        write(folder, source, f"{name}.py")
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_what_a_module_still_holds_counts(folder: Path, module: Any) -> None:
    """Loaded again in the same process, it still has what it read the first time."""
    name = module("holds_weights", f"WEIGHTS = {LOADERS['computed']}\nspec, detect = SPEC, print")
    before = fingerprint_of(name)
    retrain(folder)
    assert fingerprint_of(name) == before
    del sys.modules[name]
    assert fingerprint_of(name) not in (None, before)


def test_an_edited_module_that_was_imported_before_is_the_old_one(
    folder: Path, module: Any
) -> None:
    name = module("edited_later", "spec, detect = SPEC, print")
    before = fingerprint_of(name)
    write(folder, "spec, detect = SPEC, repr", f"{name}.py")
    assert fingerprint_of(name) == before
    assert wrap_function(sys.modules[name]).fingerprint == before


def test_the_hook_does_nothing_to_what_it_does_not_know(folder: Path) -> None:
    observer = FileObserver()
    with observer.observing():
        descriptor = os.open(folder / "best.json", os.O_RDONLY)
        with open(descriptor) as file:
            assert file.read() == "1"
        with pytest.raises(FileNotFoundError):
            (folder / "none").read_text()
        with pytest.raises(ValueError, match="null"):
            Path("a\0b").read_text()
        sqlite3.connect(":memory:").close()
        np.zeros(1).tofile(folder / "out.bin")
        json.loads((folder / "best.json").read_bytes())
    assert observer.take() == [str(folder / "best.json")]


def test_places_of_inputs() -> None:
    home = os.path.expanduser("~")
    assert is_input(f"{home}/models/best.pt")
    assert is_input(f"{home}/.cache/huggingface/hub/x/model.safetensors")
    assert is_input(f"{home}/.cache/torch/hub/x.pth")
    assert not is_input(f"{home}/.cache/fontconfig/x")
    assert not is_input("/proc/1/status")
    assert not is_input(json.__file__)
    assert not is_input(np.__file__)
    assert not is_input(str(importlib.metadata.distribution("attrs").locate_file("x.egg-info/a")))
