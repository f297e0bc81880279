"""Models of Transformers: what they find equals what the library finds, called by hand."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("transformers", exc_type=ImportError)

from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.masks import decode_mask

from aa_functions import load_function
from aa_functions.errors import TransformersError
from aa_functions.huggingface import create
from aa_functions.transformer_models.loading import LoadedModel, import_transformers
from tests.support.tiny_models import make_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = {0: "cat", 1: "dog", 3: "dog", 4: "bird"}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_tiny_model(kind, tmp_path_factory.mktemp("models") / kind)
        return made[kind]

    return folder_of


@pytest.fixture(scope="session")
def noise() -> list[PIL.Image.Image]:
    """Pictures of two sizes and two modes; those of equal size do not follow each other."""
    rng = np.random.default_rng(3)
    sizes = [(90, 70), (64, 96), (90, 70)]
    images = [
        PIL.Image.fromarray(rng.integers(0, 256, (h // 10, w // 10, 3), np.uint8)).resize((w, h))
        for w, h in sizes
    ]
    images[1] = images[1].convert("L")
    return images


@cache
def loaded_by_hand(folder: Path) -> tuple[Any, Any]:
    transformers = import_transformers()
    [architecture] = json.loads((folder / "config.json").read_text())["architectures"]
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    return model, transformers.AutoImageProcessor.from_pretrained(folder)


def called_by_hand(folder: Path, image: PIL.Image.Image, read: Callable[..., Any]) -> Any:
    """Return what the library finds: `read(processor, output, size)` of the model's output."""
    import torch

    model, processor = loaded_by_hand(folder)
    with torch.inference_mode():
        output = model(**processor(images=image.convert("RGB"), return_tensors="pt"))
    return read(processor, output, [(image.height, image.width)])


def rows_of(theirs: Any, image: PIL.Image.Image) -> list[tuple[float, ...]]:
    """Return the library's boxes as label, score and corners, cut at the border of the image."""
    limits = [image.width, image.height] * 2
    columns = (theirs["labels"].tolist(), theirs["scores"].tolist(), theirs["boxes"].tolist())
    rows = [
        (label, score, *np.clip(box, 0, limits).round(2))
        for label, score, box in zip(*columns, strict=True)
    ]
    return [row for row in rows if row[2] < row[4] and row[3] < row[5]]


def assert_same_boxes(found: list[Any], expected: list[tuple[float, ...]]) -> None:
    """Boxes to 0.01 pixel and scores to 0.0001, in any order where scores are equal."""
    ours = np.array([(one.label_id, one.score, *one.points) for one in found])
    theirs = np.array(expected)
    assert ours.shape == theirs.shape
    difference = np.abs(ours[:, None] - theirs)
    same = (difference <= [0, 1.1e-4, *[0.011] * 4]).all(-1)
    assert same.any(0).all()
    assert same.any(1).all()
    assert (np.diff(ours[:, 1]) <= 0).all()


def ids_of(function: Any) -> dict[str, int]:
    return {label.name: label.id for label in function.spec.labels}


def test_boxes(folder_of, noise, make_context):
    function = create(folder_of("detection"))
    assert ids_of(function) == {"cat": 0, "dog": 1, "bird": 4}
    context = make_context(conf_threshold=0.01)
    for image, found in zip(
        noise, function.detect_batch([context] * len(noise), noise), strict=True
    ):
        [theirs] = called_by_hand(
            folder_of("detection"),
            image,
            lambda processor, output, size: processor.post_process_object_detection(
                output, threshold=0.01, target_sizes=size
            ),
        )
        expected = [
            (ids_of(function)[NAMES[label]], *row)
            for label, *row in rows_of(theirs, image)
            if label in NAMES
        ]
        assert len(found) > 3
        assert_same_boxes(found, expected)
        assert any(value % 1 for one in found for value in one.points)


@pytest.mark.parametrize("segmentation", ["panoptic", "instance", "semantic"])
def test_masks(folder_of, noise, make_context, segmentation):
    folder = folder_of("segmentation")
    function = create(folder, segmentation=segmentation, overlap_mask_area_threshold=0)
    context = make_context(conf_threshold=0.05)
    ids = ids_of(function)

    def read(processor: Any, output: Any, size: Any) -> list[tuple[int, float | None, np.ndarray]]:
        if segmentation == "semantic":
            [classes] = processor.post_process_semantic_segmentation(output, target_sizes=size)
            return [(n, None, classes.numpy() == n) for n in np.unique(classes).tolist()]
        [found] = getattr(processor, f"post_process_{segmentation}_segmentation")(
            output, threshold=0.05, overlap_mask_area_threshold=0, target_sizes=size
        )
        return [
            (info["label_id"], info["score"], found["segmentation"].numpy() == info["id"])
            for info in found["segments_info"]
        ]

    batch = function.detect_batch([context] * len(noise), noise)
    assert sum(map(len, batch)) > len(noise)
    for image, found in zip(noise, batch, strict=True):
        expected = [
            (ids[NAMES[label]], score, bitmap)
            for label, score, bitmap in called_by_hand(folder, image, read)
            if label in NAMES and bitmap.any()
        ]
        assert len(found) == len(expected)
        for one, (label, score, bitmap) in zip(found, expected, strict=True):
            own = decode_mask(one.points, image_width=image.width, image_height=image.height)
            assert (own & bitmap).sum() >= 0.999 * (own | bitmap).sum()
            assert one.label_id == label
            assert getattr(one, "score", None) == (score and pytest.approx(score, abs=1e-4))


def test_masks_become_polygons(folder_of, noise, make_context):
    function = create(folder_of("segmentation"), overlap_mask_area_threshold=0)
    options = {"conf_threshold": 0.05, "conv_mask_to_poly": True}
    found = function.detect_batch([make_context(**options)] * len(noise), noise)
    assert {one.type.value for result in found for one in result} == {"polygon"}
    assert all(len(one.points) >= 6 for result in found for one in result)


def test_tags(folder_of, noise, make_context):
    function = create(folder_of("classification"), top_k=3)
    logits = called_by_hand(
        folder_of("classification"), noise[0], lambda _, output, size: output.logits
    )
    [scores] = logits.softmax(-1).tolist()
    order = sorted(range(5), key=lambda number: -scores[number])[:3]
    expected = [(ids_of(function)[NAMES[n]], scores[n]) for n in order if n in NAMES]
    found = function.detect(make_context(), noise[0])
    assert [one.label_id for one in found] == [label for label, _ in expected]
    assert np.allclose([one.score for one in found], [score for _, score in expected], atol=1e-4)
    above = function.detect(make_context(conf_threshold=found[0].score - 1e-4), noise[0])
    assert len(above) == 1
    assert len(create(folder_of("classification")).detect(make_context(), noise[0])) <= 1


def test_prompts(folder_of, noise, make_context):
    import torch

    folder = folder_of("zero-shot")
    prompts = {"cat": "a photo of a cat", "car": "car"}
    function = create(folder, labels=json.dumps(prompts), batch=2)
    assert ids_of(function) == {"cat": 0, "car": 1}
    context = make_context(conf_threshold=0.3)
    transformers = import_transformers()
    model = transformers.OwlViTForObjectDetection.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    batch = function.detect_batch([context] * len(noise), noise)
    assert all(batch)
    for image, found in zip(noise, batch, strict=True):
        inputs = processor(
            text=[list(prompts.values())], images=image.convert("RGB"), return_tensors="pt"
        )
        with torch.inference_mode():
            output = model(**inputs)
        [theirs] = processor.post_process_grounded_object_detection(
            output, threshold=0.3, target_sizes=[(image.height, image.width)]
        )
        assert_same_boxes(found, rows_of(theirs, image))


@pytest.mark.parametrize("kind", ["detection", "segmentation", "classification", "zero-shot"])
def test_results_do_not_depend_on_batches(folder_of, noise, make_context, kind):
    options = {"labels": "cat, dog"} if kind == "zero-shot" else {}
    contexts = [make_context(conf_threshold=0.05)] * len(noise)
    contexts[2] = make_context(conf_threshold=0.2)
    function = create(folder_of(kind), batch=3, **options)
    single = [
        function.detect(context, image) for context, image in zip(contexts, noise, strict=True)
    ]
    batch = function.detect_batch(contexts, noise)
    assert any(single)
    for one, other in zip(single, batch, strict=True):
        assert [shape.label_id for shape in one] == [shape.label_id for shape in other]
        assert np.allclose(
            [getattr(shape, "score", 1) for shape in one],
            [getattr(shape, "score", 1) for shape in other],
            atol=2e-4,
        )


def test_a_model_stored_in_half_precision_computes_in_float32(
    folder_of, tmp_path, noise, make_context
):
    model, processor = loaded_by_hand(folder_of("classification"))
    copy = tmp_path / "half"
    rounded = deepcopy(model).half()
    rounded.save_pretrained(copy)
    processor.save_pretrained(copy)
    assert json.loads((copy / "config.json").read_text())["dtype"] == "float16"
    [found] = create(copy).detect(make_context(), noise[0])
    logits = rounded.float()(**processor(images=noise[0], return_tensors="pt")).logits
    assert found.score == pytest.approx(logits.softmax(-1).max().item(), abs=6e-5)


# Loading


def test_loads_by_name_and_has_a_fingerprint_over_the_files(folder_of, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder_of("detection"), copy)
    (copy / "README.md").write_text("no matter")

    def load(folder: Path, **options: Any) -> Any:
        return load_function("aa_functions.huggingface", {"model": str(folder), **options})

    first = load(folder_of("detection"))
    assert (first.title, first.name) == ("detection", "aa_functions.huggingface")
    assert first.image_only
    assert first.fingerprint == load(copy, batch=4).fingerprint
    assert first.fingerprint != load(copy, conf=0.4).fingerprint
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps({**settings, "resample": 0}))
    assert first.fingerprint != load(copy).fingerprint
    assert FunctionLoader("aa_functions.huggingface", None, {"model": str(copy)}).load().spec


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An own cache of the Hub; a connection is an error."""
    from huggingface_hub import constants

    def refuse(*args: Any) -> None:
        raise OSError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub"


def test_a_pinned_revision_comes_from_the_cache(folder_of, no_network):
    snapshot = no_network / "models--acme--tiny" / "snapshots" / COMMIT
    shutil.copytree(folder_of("classification"), snapshot)
    function = create("acme/tiny", revision=COMMIT)
    assert function.title == "tiny"
    assert "bird" in ids_of(function)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "There is no folder 'acme/tiny'. For a model on the Hugging Face Hub give 'revision'"),
        ({"revision": "main"}, "what a branch means can change"),
        ({"revision": COMMIT}, "is not in the cache of this machine: set 'download' to true once"),
    ],
)
def test_a_model_that_is_not_there(no_network, parameters, text):
    with pytest.raises(TransformersError) as caught:
        create("acme/tiny", **parameters)
    assert text in str(caught.value)


def test_a_download_that_fails(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*args: Any, **options: Any) -> str:
        assert not options["local_files_only"]
        raise LocalEntryNotFoundError("cannot reach the Hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(TransformersError, match="the Hub does not answer: try again"):
        create("acme/tiny", revision=COMMIT, download=True)


# Mistakes


def damaged(source: Path, folder: Path, how: str) -> Path:
    shutil.copytree(source, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    settings = json.loads(config.read_text())
    if how == "no config":
        config.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "half the weights":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif how == "no processor":
        (folder / "preprocessor_config.json").unlink()
    elif how == "a text model":
        config.write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    elif how == "more layers":
        config.write_text(json.dumps({**settings, "num_hidden_layers": 2}))
    elif how == "unknown":
        config.write_text(json.dumps({**settings, "model_type": "yolos99"}))
    return folder


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("no config", "has no config.json: 'model' must be a folder that save_pretrained wrote"),
        ("no weights", "has no weights (*.safetensors or *.bin): copy them into it"),
        ("half the weights", "the files are damaged or incomplete"),
        ("no processor", "cannot be loaded"),
        ("a text model", "holds a BertModel, but aa_functions.huggingface needs a model for"),
        ("more layers", "of the model's parameters"),
        ("unknown", "cannot be loaded"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(folder_of, tmp_path, how, text):
    folder = damaged(folder_of("detection"), tmp_path / "model", how)
    with pytest.raises(TransformersError) as caught:
        create(folder)
    assert text in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("zero-shot", {}, "needs 'labels': the names of the CVAT task's labels"),
        ("zero-shot", {"labels": "{"}, "'labels' is not JSON"),
        ("zero-shot", {"labels": {"cat": ""}}, "names and prompts must be texts"),
        ("detection", {"labels": "cat"}, "but 'detection' is one of detection: leave it out"),
        ("segmentation", {"segmentation": "things"}, "offers: panoptic, instance, semantic"),
        ("detection", {"device": "cuda:77"}, "'cuda:77' does not exist"),
        ("detection", {"conf": 2}, "conf is 2, but must be from 0 to 1"),
        ("detection", {"batch": 0}, "batch is 0, but must be at least 1"),
        ("detection", {"revision": COMMIT}, "which has no revision"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(folder_of, kind, parameters, text):
    with pytest.raises(TransformersError) as caught:
        create(folder_of(kind), **parameters)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "task", "text"),
    [
        ("OneFormerForUniversalSegmentation", "segmentation", "use a Mask2Former"),
        ("GroundingDinoForObjectDetection", "zero-shot detection", "works with OWL-ViT and OWLv2"),
    ],
)
def test_an_architecture_with_another_input_is_refused(
    folder_of, monkeypatch, architecture, task, text
):
    model = type(architecture, (), {})()
    loaded = LoadedModel(task=task, model=model, processor=None)
    monkeypatch.setattr("aa_functions.huggingface.load_model", lambda folder: loaded)
    labels = "cat" if task == "zero-shot detection" else None
    with pytest.raises(TransformersError) as caught:
        create(folder_of("detection"), labels=labels)
    assert architecture in str(caught.value)
    assert text in str(caught.value)


def test_a_missing_package_says_what_to_install(folder_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TransformersError, match=r"pip install 'cvat-flows\[transformers\]'"):
        create(folder_of("detection"))
