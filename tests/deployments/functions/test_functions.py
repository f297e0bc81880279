"""`cvat-flows functions`: what is installed, and whether a function keeps the protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from aa_functions.reference import load_function
from cvat_flows.deployments.functions.check import FunctionCheck
from cvat_flows.deployments.functions.listing import describe_function
from cvat_flows.flows.cli import main

GOOD = """
from aa_functions import DetectionFunctionSpec, label_spec, rectangle
spec = DetectionFunctionSpec(labels=[label_spec("car", 0, type="rectangle")])
def detect(context, image):
    score = 0.5
    if score < (context.conf_threshold or 0):
        return []
    return [rectangle(0, [1, 1, image.width - 1, image.height - 1], score=score)]
"""


def verdicts(tmp_path: Path, source: str) -> dict[str, tuple[str, str]]:
    file = tmp_path / "mine.py"
    file.write_text(source)
    image = Image.new("RGB", (64, 48), "grey")
    check = FunctionCheck(loaded=load_function(str(file)), image=image, name="image.png")
    return {verdict.what: (verdict.level, verdict.text) for verdict in check.verdicts()}


def test_a_function_that_keeps_the_protocol(tmp_path: Path) -> None:
    found = verdicts(tmp_path, GOOD)
    assert {level for level, _ in found.values()} == {"ok"}
    assert found["output"][1] == "1 annotation, all valid"
    assert "two threads" in found["same result"][1]
    assert "ms for an image of 64x48" in found["time"][1]


@pytest.mark.parametrize(
    ("old", "new", "what", "level", "text"),
    [
        ("rectangle(0, [1", "rectangle(7, [1", "output", "failure", "unknown label ID (7)"),
        ("image.width - 1,", "image.width + 9,", "geometry", "warning", "1 annotation, the first"),
        ("or 0)", "or 0) - 1", "conf_threshold", "failure", "a score of 0.50 for"),
        (
            "return [rect",
            "1 / (image.mode == 'RGB'); return [rect",
            "image modes",
            "warning",
            "grey (L): ZeroDivisionError",
        ),
        (
            "score=score)",
            "score=__import__('random').random())",
            "same result",
            "failure",
            "threads",
        ),
        ("return [rect", "quit(); return [rect", "detect", "failure", "SystemExit was raised"),
    ],
)
def test_what_a_check_finds(
    tmp_path: Path, old: str, new: str, what: str, level: str, text: str
) -> None:
    assert old in GOOD
    found = verdicts(tmp_path, GOOD.replace(old, new))
    assert found[what][0] == level
    assert text in found[what][1]


def test_detect_batch_must_agree_with_detect(tmp_path: Path) -> None:
    batch = """
def detect_batch(contexts, images):
    return [detect(contexts[0], images[0])] + [[]] * (len(images) - 1)
"""
    level, text = verdicts(tmp_path, GOOD + batch)["same result"]
    assert (level, "image 1 of a batch, image 2 of a batch gave another" in text) == (
        "failure",
        True,
    )
    short = "\ndef detect_batch(contexts, images):\n    return []\n"
    assert verdicts(tmp_path, GOOD + short)["detect_batch"] == (
        "failure",
        "returned 0 results for 3 images",
    )


def test_the_command_draws_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(GOOD)
    image = tmp_path / "grey.png"
    Image.new("RGB", (64, 48), "grey").save(image)
    call = ["functions", "check", "mine.py", "--image", str(image), "--json"]
    assert main(call) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[-1] == {"picture": str(tmp_path / "check-mine.png")}
    with Image.open(tmp_path / "check-mine.png") as drawn:
        assert len(drawn.getcolors() or ()) > 1
    assert main([*call[:3], "--image", "no-such-file.png"]) == 2
    assert "--image no-such-file.png: cannot be read as an image" in capsys.readouterr().err
    (tmp_path / "mine.py").write_text(GOOD.replace("rectangle(0,", "rectangle(7,"))
    assert main(["functions", "check", "mine.py", "--quiet"]) == 1


def test_what_the_list_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = describe_function("shapes", "aa_functions.shapes")
    assert (shapes.kinds, shapes.labels[0]) == (("rectangle",), "circle")
    assert shapes.weights[0].endswith("shapes-yolov8n.pt")
    assert shapes.device.startswith("cpu")
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = describe_function("yolov8n", "aa_functions.yolov8n").missing
    assert "There are no weights 'yolov8n.pt'" in missing
    assert list(describe_function("yolo", "aa_functions.yolo").needs) == ["model"]
    assert "There is no module" in describe_function("x", "no_such_module").problem


@pytest.mark.parametrize(
    ("offline", "says", "never_says"),
    [
        ("0", "The first use downloads them from", "yourself"),
        ("1", "yourself, and put", "first use"),
    ],
)
def test_the_list_says_one_way_to_missing_weights(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    offline: str,
    says: str,
    never_says: str,
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("CVAT_FLOWS_OFFLINE", offline)
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    assert main(["functions"]) == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "yolov8n.pt' in" in one)
    assert says in line
    assert never_says not in line
    assert list(tmp_path.glob("*.pt")) == []
