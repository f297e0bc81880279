"""Fingerprints: equal if the results are equal, different if any input is different."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from aa_functions import FunctionReference, FunctionReferenceError, load_function
from aa_functions.fingerprint import FingerprintError, file_digest, package_version

CODE_THAT_DECIDES_BOXES = {
    "aa_functions.yolo": "0a4dae9e92205f7e",
    "aa_functions.backends.backend": "f0d3ac59fa6f5866",
    "aa_functions.backends.device": "61fae71ab88b8cdf",
    "aa_functions.backends.export": "7d73b3f0283c2b82",
    "aa_functions.backends.exported": "7ff66240661a30cd",
    "aa_functions.backends.facts": "cb4710ae4c8cb370",
    "aa_functions.backends.letterbox": "f828560602eda3bd",
    "aa_functions.backends.making": "ab05ba578e12fe8b",
    "aa_functions.backends.openvino_forward": "615b2fbdcd373736",
    "aa_functions.backends.pool": "c5770cca878d37b9",
    "aa_functions.backends.predictor": "91d8b5dde2c23e30",
    "aa_functions.backends.ultralytics_import": "a0c78242378acae1",
    "aa_functions.kinds.box_kind": "c406ac1f3753f2a8",
    "aa_functions.kinds.boxes": "8325767638b77f41",
    "aa_functions.kinds.geometry": "f18a7de809a1402a",
    "aa_functions.kinds.keypoint_names": "403029bf025658d6",
    "aa_functions.kinds.kind": "9207ac580ea5dd22",
    "aa_functions.kinds.make": "91f2ac122ec833d6",
    "aa_functions.kinds.mask_logits": "94d20a94d77d290e",
    "aa_functions.kinds.options": "423e736667751dae",
    "aa_functions.kinds.rotated_boxes": "13b1d7128b563e19",
    "aa_functions.kinds.segments": "66c3b88e3770a1eb",
    "aa_functions.kinds.select": "20ffc4a3337d3a4c",
    "aa_functions.kinds.skeletons": "bf0bbb2d11746b83",
    "aa_functions.kinds.tags": "ab39dd70b3fd25c2",
    "aa_functions.contexts": "be9889db283f04ed",
    "aa_functions.mask_codec": "a803cf89fa04a155",
    "aa_functions.outlines": "093c7fde9a2b4593",
    "aa_functions.pictures": "25bade92101ef90c",
}

FACTORY = """
    from types import SimpleNamespace
    from aa_functions import DetectionFunctionSpec, label_spec

    def create(weights="", size=1, name="car"):
        spec = DetectionFunctionSpec(labels=[label_spec(name, 0)])
        return SimpleNamespace(spec=spec, detect=lambda context, image: [])
"""


def write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))
    return path


def fingerprint_of(file: Path, **parameters) -> str:
    loaded = load_function(FunctionReference(file=file, parameters=parameters))
    assert loaded.fingerprint is not None
    return loaded.fingerprint


def test_path_and_line_ends_do_not_count(tmp_path):
    first = fingerprint_of(write(tmp_path / "a" / "f.py", FACTORY), size=1, name="x")
    second = write(tmp_path / "b" / "g.py", FACTORY)
    second.write_bytes(second.read_bytes().replace(b"\n", b"\r\n"))
    assert first == fingerprint_of(second, name="x", size=1)


def test_source_and_parameters_count(tmp_path):
    path = write(tmp_path / "f.py", FACTORY)
    changed = write(tmp_path / "g.py", FACTORY + "\n    # changed\n")
    prints = [
        fingerprint_of(path),
        fingerprint_of(changed),
        fingerprint_of(path, size=2),
        fingerprint_of(path, size=2.5),
        fingerprint_of(path, size="2"),
        fingerprint_of(path, name="lorry"),
    ]
    assert len(set(prints)) == len(prints)


def test_a_file_that_a_parameter_names_counts_with_its_content(tmp_path):
    path = write(tmp_path / "f.py", FACTORY)
    one = write(tmp_path / "one" / "w.bin", "weights")
    two = write(tmp_path / "two" / "v.bin", "weights")
    assert fingerprint_of(path, weights=str(one)) == fingerprint_of(path, weights=str(two))
    two.write_text("other weights")
    assert fingerprint_of(path, weights=str(one)) != fingerprint_of(path, weights=str(two))


def test_a_file_named_without_a_folder_counts_with_its_content_and_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "f.py", FACTORY)
    without_file = fingerprint_of(path, weights="cars.onnx")
    write(tmp_path / "cars.onnx", "weights")
    write(tmp_path / "bus", "weights")
    write(tmp_path / "car", "weights")
    before = fingerprint_of(path, weights="cars.onnx")
    assert before != without_file
    # Labels that happen to be the names of equal files are different labels.
    assert fingerprint_of(path, name="car") != fingerprint_of(path, name="bus")
    write(tmp_path / "cars.onnx", "trained again")
    assert fingerprint_of(path, weights="cars.onnx") != before


def test_a_text_that_cannot_be_a_path_counts_as_text(tmp_path):
    path = write(tmp_path / "f.py", FACTORY)
    prints = {fingerprint_of(path, weights=text) for text in ("x" * 5000, "a\0b", "")}
    assert len(prints) == 3


def test_imported_local_modules_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    helper = write(tmp_path / "boxes_of_mine" / "sizes.py", "SIZE = 3\n")
    write(tmp_path / "boxes_of_mine" / "__init__.py", "")
    source = "    from boxes_of_mine import sizes\n" + FACTORY
    path = write(tmp_path / "f.py", source)
    before = fingerprint_of(path)
    assert before == fingerprint_of(path)
    helper.write_text("SIZE = 4\n")
    # This process still uses the old code, until the module is imported anew.
    importlib.import_module("boxes_of_mine.sizes")
    assert fingerprint_of(path) == before
    for name in ("boxes_of_mine.sizes", "boxes_of_mine"):
        del sys.modules[name]
    assert fingerprint_of(path) != before


def test_a_local_module_that_is_reloaded_counts_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    helper = write(tmp_path / "sizes_of_mine.py", "SIZE = 3\n")
    path = write(tmp_path / "f.py", "    import sizes_of_mine\n" + FACTORY)
    before = fingerprint_of(path)
    helper.write_text("SIZE = 44\n")
    importlib.reload(sys.modules["sizes_of_mine"])
    assert fingerprint_of(path) != before


def test_fingerprint_inputs_replace_the_parameters(tmp_path):
    said = FACTORY.replace(
        "return SimpleNamespace(",
        """return SimpleNamespace(
            fingerprint_inputs=lambda: {"weights": Path(weights), "packages": ["attrs"]},""",
    )
    path = write(tmp_path / "f.py", "    from pathlib import Path\n" + said)
    one = write(tmp_path / "one.bin", "weights")
    two = write(tmp_path / "two.bin", "weights")
    first = fingerprint_of(path, weights=str(one), size=1)
    assert first == fingerprint_of(path, weights=str(two), size=2)
    two.write_text("more")
    assert first != fingerprint_of(path, weights=str(two))


def test_an_error_in_fingerprint_inputs_is_reported(tmp_path):
    said = FACTORY.replace(
        "return SimpleNamespace(",
        "return SimpleNamespace(fingerprint_inputs=lambda: 1 / 0,",
    )
    with pytest.raises(FunctionReferenceError, match=r"'fingerprint_inputs' failed \(Zero"):
        fingerprint_of(write(tmp_path / "f.py", said))


def test_library_versions_count(tmp_path, monkeypatch):
    path = write(tmp_path / "f.py", "    import numpy\n" + FACTORY)
    before = fingerprint_of(path)
    monkeypatch.setattr(
        "aa_functions.fingerprint.package_version",
        lambda name: "0.0.1" if name == "numpy" else package_version(name),
    )
    assert fingerprint_of(path) != before


def test_versions_are_found_by_import_name():
    import PIL

    assert package_version("PIL") == PIL.__version__
    assert package_version("cvat_sdk") is not None
    assert package_version("no_such_library") is None


def test_builds_of_torch_for_different_devices_are_the_same_version():
    pytest.importorskip("torch")
    assert "+" not in str(package_version("torch"))


def test_the_same_in_another_process_and_folder(tmp_path):
    path = write(tmp_path / "f.py", FACTORY)
    code = (
        "import sys; from aa_functions import *;"
        "print(load_function(FunctionReference(file=sys.argv[1],"
        "parameters={'size': 3, 'name': 'x'})).fingerprint)"
    )
    root = Path(__file__).resolve().parents[2]
    answers = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for folder, seed in ((tmp_path, "1"), (root, "2"))
    }
    assert answers == {fingerprint_of(path, name="x", size=3)}


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "w.bin", "one")
    first = file_digest(path)
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert file_digest(path) != first
    with pytest.raises(FingerprintError, match="cannot be read"):
        file_digest(tmp_path / "none")


def counted(tmp_path, monkeypatch, path: Path) -> dict[str, object]:
    """What goes into the fingerprint of a function in a file."""
    seen: list[dict[str, object]] = []
    dumps = json.dumps

    def record(content, **options):
        seen.append(content)
        return dumps(content, **options)

    monkeypatch.setattr("aa_functions.fingerprint.json.dumps", record)
    fingerprint_of(path, size=3)
    (content,) = seen
    return content


def test_what_goes_into_a_fingerprint(tmp_path, monkeypatch):
    """Neither a release of cvat-flows nor a move of its modules may change this."""
    path = write(tmp_path / "f.py", "    import numpy, aa_functions.yolo, cvat_flows\n" + FACTORY)
    content = counted(tmp_path, monkeypatch, path)
    assert content == {
        "version": 2,
        "sources": {"function": hashlib.sha256(path.read_bytes()).hexdigest()},
        "inputs": {"size": 3},
        "packages": {
            "cvat_sdk": package_version("cvat_sdk"),
            "numpy": package_version("numpy"),
        },
    }


def code_digest(module: str) -> str:
    """Digest of a module's code without comments, docstrings and formatting."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                one
                for one in body
                if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="Python 3.11 made the digests of the syntax tree"
)
@pytest.mark.parametrize(("module", "digest"), CODE_THAT_DECIDES_BOXES.items())
def test_code_that_decides_boxes_changes_with_its_results_version(module, digest):
    assert code_digest(module) == digest, (
        f"The code of {module} changed. If it can give other boxes for the same image, increase "
        f"RESULTS_VERSION in aa_functions/yolo.py. Then write {code_digest(module)!r} here."
    )


YOLO = "aa_functions.yolo"
MODEL = {"model": "shapes-yolov8n.pt"}


def yolo_fingerprint(**parameters) -> str:
    pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)
    loaded = load_function(FunctionReference(module=YOLO, parameters={**MODEL, **parameters}))
    assert loaded.fingerprint is not None
    return loaded.fingerprint


def test_yolo_options_that_do_not_change_boxes_do_not_count(tmp_path):
    from aa_functions.weights import SHIPPED_FOLDER

    copy = tmp_path / "other-name.pt"
    copy.write_bytes((SHIPPED_FOLDER / MODEL["model"]).read_bytes())
    same = {
        yolo_fingerprint(),
        yolo_fingerprint(device="cpu", batch=3, workers=1, backend="torch"),
        yolo_fingerprint(model=str(copy), imgsz=None),
        yolo_fingerprint(conf=0.25, precision="f32"),
    }
    assert len(same) == 1


def test_yolo_options_that_change_boxes_count():
    prints = [
        yolo_fingerprint(),
        yolo_fingerprint(imgsz=640),
        yolo_fingerprint(conf=0.3),
        yolo_fingerprint(iou=0.5),
        yolo_fingerprint(max_det=10),
        yolo_fingerprint(classes="star"),
        yolo_fingerprint(agnostic_nms=True),
        yolo_fingerprint(precision="bf16", backend="torch"),
    ]
    assert len(set(prints)) == len(prints)
    assert (
        yolo_fingerprint(classes=[3])
        == yolo_fingerprint(classes="star")
        == yolo_fingerprint(classes="3")
    )


def test_the_fingerprint_is_64_hexadecimal_digits(tmp_path):
    text = fingerprint_of(write(tmp_path / "f.py", FACTORY))
    assert json.loads(json.dumps(text)) == f"{int(text, 16):064x}"
