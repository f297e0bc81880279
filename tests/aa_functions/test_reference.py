"""Loading functions by reference, and the error for each possible mistake."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import PIL.Image
import pytest
from cvat_sdk.auto_annotation import DetectionFunctionSpec, TrackingFunctionSpec

import aa_functions
from aa_functions import (
    FunctionReference,
    FunctionReferenceError,
    LoadedFunction,
    load_function,
    wrap_function,
)

GOOD = """
    from aa_functions import DetectionFunctionSpec, label_spec, rectangle

    spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])

    def detect(context, image):
        return [rectangle(0, [0, 0, image.width, image.height])]
"""

FACTORY = """
    from types import SimpleNamespace
    from aa_functions import DetectionFunctionSpec, label_spec

    def create(label, times=1, *, shout=False):
        if times < 0:
            raise ValueError("times must not be negative")
        spec = DetectionFunctionSpec(labels=[label_spec(label * times, 0)])
        return SimpleNamespace(spec=spec, detect=lambda context, image: [])
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(source: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
        return path

    return write


def error_of(**reference) -> str:
    with pytest.raises(FunctionReferenceError) as caught:
        load_function(FunctionReference(**reference))
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_every_helper_of_the_sdk_is_exported():
    from cvat_sdk import auto_annotation

    ours = {
        name
        for name in auto_annotation.__all__
        if not name.startswith(("Interaction", "Track")) and name != "annotate_task"
    }
    assert ours <= set(aa_functions.__all__)
    assert all(getattr(aa_functions, name) is getattr(auto_annotation, name) for name in ours)
    assert all(hasattr(aa_functions, name) for name in aa_functions.__all__)


def test_a_file_is_a_function(write, make_context):
    loaded = load_function(FunctionReference(file=write(GOOD, "cars.py")))
    assert loaded.title == "cars"
    assert [label.name for label in loaded.function.spec.labels] == ["car"]
    assert len(loaded.fingerprint) == 64


def test_a_module_is_a_function(write, monkeypatch):
    path = write(GOOD, "pkg_of_functions/cars.py")
    monkeypatch.syspath_prepend(path.parent.parent)
    loaded = load_function(FunctionReference(module="pkg_of_functions.cars"))
    assert loaded.title == "cars"
    assert loaded.function is sys.modules["pkg_of_functions.cars"]


def test_create_gets_the_parameters(write):
    path = write(FACTORY)
    reference = FunctionReference(file=path, parameters={"label": "ab", "times": 2})
    assert load_function(reference).function.spec.labels[0].name == "abab"


def test_files_with_the_same_name_are_kept_apart(write):
    first = load_function(FunctionReference(file=write(GOOD, "a/f.py")))
    second = load_function(FunctionReference(file=write(GOOD.replace("car", "bus"), "b/f.py")))
    assert first.function.spec.labels[0].name == "car"
    assert second.function.spec.labels[0].name == "bus"


def test_dataclasses_work_in_a_file(write):
    source = """
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import ClassVar
        from aa_functions import DetectionFunctionSpec, label_spec

        @dataclass
        class Function:
            spec: ClassVar[object] = DetectionFunctionSpec(labels=[label_spec("car", 0)])
            def detect(self, context, image):
                return []

        create = Function
    """
    assert load_function(FunctionReference(file=write(source))).function.detect(None, None) == []


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("classification", "squeezenet1_1"),
        ("detection", "ssdlite320_mobilenet_v3_large"),
    ],
)
def test_the_functions_of_the_sdk_work_by_name(kind, model, tmp_path, monkeypatch, make_context):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    from aa_functions.backends.ultralytics_import import declare_missing_nms

    declare_missing_nms()
    import torchvision.models

    # Random weights under the name of the published ones: nothing is fetched.
    published = torchvision.models.get_model_weights(model)["DEFAULT"]
    path = checkpoints / published.url.rpartition("/")[2]

    options = {"weights_backbone": None} if kind == "detection" else {}
    weights = torchvision.models.get_model(model, weights=None, **options).state_dict()

    def load() -> LoadedFunction:
        torch.save(weights, path)
        return load_function(
            f"cvat_sdk.auto_annotation.functions.torchvision_{kind}", {"model_name": model}
        )

    loaded = load()
    names = {label.name for label in loaded.function.spec.labels}
    assert names == set(published.meta["categories"]) - {"N/A"}
    assert loaded.title == f"torchvision_{kind}"
    picture = PIL.Image.effect_noise((64, 48), 90).convert("RGB")
    assert loaded.function.detect(make_context(), picture)
    assert len(loaded.fingerprint) == 64
    next(iter(weights.values())).add_(1)
    assert load().fingerprint != loaded.fingerprint


@pytest.mark.parametrize("package", ["torchvision", "skimage"])
def test_a_package_that_a_function_of_the_sdk_lacks(package, monkeypatch):
    name = "cvat_sdk.auto_annotation.functions.torchvision_instance_segmentation"
    for module in (name, "cvat_sdk.auto_annotation.functions._torchvision"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    text = error_of(module=name)
    assert "pip install 'cvat-flows[torchvision]'" in text
    assert package in text


def test_module_and_file_exclude_each_other():
    with pytest.raises(FunctionReferenceError, match="neither is given"):
        FunctionReference()
    with pytest.raises(FunctionReferenceError, match="both are given"):
        FunctionReference(module="a", file="b.py")


def test_no_such_module():
    text = error_of(module="aa_functions.yolov8m")
    assert "no module 'aa_functions.yolov8m'" in text
    assert "did you mean 'aa_functions.yolov8n'?" in text
    assert "no module 'no_such_package.f': 'no_such_package'" in error_of(
        module="no_such_package.f"
    )


def test_a_path_given_as_a_module():
    assert "needs --function-file" in error_of(module="functions/cars.py")


def test_a_module_of_the_current_folder(write, monkeypatch):
    monkeypatch.chdir(write(GOOD, "lorries.py").parent)
    assert "'lorries.py' in the current folder needs --function-file" in error_of(module="lorries")


def test_no_such_file(write):
    path = write(GOOD, "cars.py")
    text = error_of(file=path.with_name("car.py"))
    assert "no file" in text
    assert "did you mean 'cars.py'?" in text


@pytest.mark.parametrize("name", ["notes.txt", "folder.py/inner"])
def test_a_file_that_is_not_python(write, name):
    path = write("", name)
    wrong = path if path.suffix else path.parent
    assert "not a Python source file" in error_of(file=wrong)


def test_syntax_error(write):
    text = error_of(file=write("x = 1\ndef detect(:\n", "broken.py"))
    assert "syntax error in line 2 of broken.py" in text


def test_an_import_inside_that_fails(write):
    text = error_of(file=write("import no_such_library\n"))
    assert "No module named 'no_such_library'" in text
    assert "mine.py" in text


def test_a_missing_torch_is_explained(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    text = error_of(file=write("import torchvision\n"))
    assert "pip install 'cvat-flows[yolo]'" in text


def test_code_that_raises_or_exits(write):
    assert "KeyError: 'MODEL'" in error_of(file=write("import os; os.environ['MODEL']\n"))
    assert "SystemExit (3)" in error_of(file=write("raise SystemExit(3)\n"))


def test_a_file_can_be_loaded_after_it_was_fixed(write):
    path = write("import no_such_library\n")
    error_of(file=path)
    write(GOOD)
    assert load_function(FunctionReference(file=path)).title == "mine"


def test_no_spec_and_no_detect(write):
    assert "has no 'spec'" in error_of(file=write("def detect(context, image): return []\n"))
    assert "has no 'detect'" in error_of(file=write(GOOD.replace("def detect", "def find")))


def test_spec_of_another_type(write):
    assert "of type list" in error_of(file=write(GOOD + "\n    spec = ['car']\n"))
    method = "    class F:\n        def spec(self): ...\n    create = F\n"
    assert "is a method" in error_of(file=write(method))


def test_spec_that_raises(write):
    source = """
        class F:
            detect = print
            @property
            def spec(self):
                return self.weights
        create = F
    """
    assert "no attribute 'weights'" in error_of(file=write(source))
    assert "ValueError: twice" in error_of(
        file=write(source.replace("return self.weights", "raise ValueError('twice')"))
    )


def test_detect_that_cannot_be_called(write):
    source = GOOD.replace("def detect(context, image):", "detect = 5\n\n    def find(x, image):")
    assert "'detect' of type int" in error_of(file=write(source))


def test_parameters_for_a_function_that_takes_none(write):
    text = error_of(file=write(GOOD), parameters={"imgsz": 640})
    assert "takes no parameters" in text
    assert "'imgsz'" in text


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "missing a required argument: 'label'"),
        ({"label": "a", "shot": True}, "did you mean 'shout'?"),
        ({"label": "a", "shot": True}, "it takes label, times, shout"),
        ({"label": "a", "times": -1}, "ValueError: times must not be negative"),
    ],
)
def test_parameters_that_do_not_fit(write, parameters, expected):
    assert expected in error_of(file=write(FACTORY), parameters=parameters)


def test_create_that_cannot_be_called(write):
    assert "'create' of file" in error_of(file=write("create = 'car'\n"))


def test_parameters_that_are_not_json(write):
    source = FACTORY.replace("label * times", "'car'")
    text = error_of(file=write(source), parameters={"label": object()})
    assert "no fingerprint" in text


def test_wrap_a_live_object():
    class Lorries:
        spec = DetectionFunctionSpec(labels=[])

        def detect(self, context, image):
            return []

    loaded = wrap_function(Lorries())
    assert (loaded.title, loaded.fingerprint, loaded.reference) == ("Lorries", None, None)
    with pytest.raises(FunctionReferenceError, match=r"SimpleNamespace.*has no 'spec'"):
        wrap_function(SimpleNamespace())
    tracking = SimpleNamespace(spec=TrackingFunctionSpec(supported_shape_types=["rectangle"]))
    with pytest.raises(FunctionReferenceError, match="of type TrackingFunctionSpec"):
        wrap_function(tracking)


def test_wrap_a_module():
    pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)
    from aa_functions import shapes

    loaded = wrap_function(shapes)
    assert loaded.title == "shapes"
    by_name = load_function(FunctionReference(module="aa_functions.shapes"))
    assert loaded.fingerprint == by_name.fingerprint


@pytest.mark.parametrize(
    ("line", "image_only"), [("", False), ('results_depend_on = "image"', True)]
)
def test_a_function_may_declare_that_only_the_image_counts(
    tmp_path: Path, line: str, image_only: bool
) -> None:
    path = tmp_path / "f.py"
    path.write_text(
        "from aa_functions import DetectionFunctionSpec, label_spec\n"
        f"spec, detect = DetectionFunctionSpec(labels=[label_spec('car', 0)]), print\n{line}\n"
    )
    assert load_function(str(path)).image_only is image_only
    path.write_text(path.read_text() + "results_depend_on = 'name'\n")
    with pytest.raises(FunctionReferenceError, match=r"'results_depend_on' = 'name': it must be"):
        load_function(str(path))


def test_the_shipped_functions_depend_on_the_image_only() -> None:
    pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)
    loaded = load_function("aa_functions.shapes")
    assert loaded.image_only
    image = PIL.Image.new("RGB", (96, 64), (200, 30, 30))
    found = [
        loaded.function.detect(
            SimpleNamespace(frame_name=name, conf_threshold=0.01, conv_mask_to_poly=poly), image
        )
        for name in ("a.png", "night/b.jpg")
        for poly in (False, True)
    ]
    assert found[0]
    assert all(boxes == found[0] for boxes in found)
    assert load_function("aa_functions.yolo", {"model": "shapes-yolov8n"}).image_only
    assert wrap_function(loaded.function).image_only
