"""A Nuclio function behind a URL: its contract, its failures and its speed."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.masks import decode_mask

from aa_functions import FunctionReferenceError, load_function
from aa_functions.errors import NuclioError
from aa_functions.nuclio import create
from aa_functions.remote import client as remote_client
from tests.support.nuclio_server import DROP, NuclioServer
from tests.support.waiting import HANG_TIMEOUT

SPEC: list[dict[str, Any]] = [
    {
        "name": "car",
        "type": "rectangle",
        "attributes": [
            {"name": "age", "input_type": "number", "values": ["0", "150", "1"]},
            {"name": "dirty", "input_type": "checkbox", "values": []},
        ],
    },
    {"name": "road", "type": "mask"},
    {"name": "day", "type": "tag"},
    {
        "name": "person",
        "type": "skeleton",
        "svg": "",
        "sublabels": [{"name": name, "type": "points"} for name in ("head", "hand", "foot")],
    },
    {"name": "thing", "type": "unknown"},
]
SIZE = (64, 48)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NuclioServer]:
    monkeypatch.setattr(remote_client, "FIRST_WAIT", 0.001)
    with NuclioServer() as server:
        yield server


@pytest.fixture
def gate(server: NuclioServer) -> Iterator[threading.Event]:
    """While it is not set, the function does not answer."""
    gate = threading.Event()
    server.detect = lambda image, threshold: [] if gate.wait(HANG_TIMEOUT) else None
    yield gate
    gate.set()


@pytest.fixture
def ask(server, make_context):
    """`ask([annotation, ...])` returns what the function makes of that answer."""

    def ask(answer: Any, *, size: tuple[int, int] = SIZE, **context: Any) -> list[Any]:
        server.detect = lambda image, threshold: answer
        function = create(server.url, spec=SPEC, probe=False)
        return function.detect(make_context(**context), PIL.Image.new("RGB", size))

    return ask


def function_yaml(tmp_path: Path, **annotations: Any) -> Path:
    path = tmp_path / "function.yaml"
    given = {"name": "Cars", "type": "detector", "spec": json.dumps(SPEC), **annotations}
    lines = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in given.items() if value)
    path.write_text(f"metadata:\n  name: onnx-cars\n  annotations:\n{lines}spec: {{}}\n")
    return path


# What is sent


def test_sends_the_image_and_the_threshold(server, make_context):
    function = create(server.url, spec=SPEC, conf=0.3, probe=False)
    picture = PIL.Image.effect_noise(SIZE, 50).convert("RGB")
    function.detect(make_context(), picture)
    function.detect(make_context(conf_threshold=0.7), picture)
    first, second = server.requests
    assert (first["threshold"], second["threshold"]) == (0.3, 0.7)
    sent = PIL.Image.open(io.BytesIO(base64.b64decode(first["image"])))
    assert np.array_equal(np.asarray(sent), np.asarray(picture))


def test_leaves_the_threshold_to_the_function(server, make_context):
    create(server.url, spec=SPEC, probe=False).detect(make_context(), PIL.Image.new("L", SIZE))
    assert list(server.requests[0]) == ["image"]


def test_a_jpeg_is_sent_as_one_and_hardly_changes(server, make_context, pictures):
    stored = io.BytesIO()
    pictures[0].save(stored, "JPEG", quality=90)
    picture = PIL.Image.open(stored)
    create(server.url, spec=SPEC, probe=False).detect(make_context(), picture)
    sent = PIL.Image.open(io.BytesIO(base64.b64decode(server.requests[0]["image"])))
    assert sent.format == "JPEG"
    difference = np.abs(np.asarray(sent, int) - np.asarray(picture, int))
    assert difference.mean() < 1  # of 255


def test_deep_grey_is_scaled(server, make_context):
    picture = PIL.Image.new("I;16", SIZE, 65535)
    create(server.url, spec=SPEC, probe=False).detect(make_context(), picture)
    sent = PIL.Image.open(io.BytesIO(base64.b64decode(server.requests[0]["image"])))
    assert (sent.mode, sent.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_credentials_come_from_the_environment(server, make_context, monkeypatch):
    monkeypatch.setenv("CVAT_FLOWS_NUCLIO_AUTHORIZATION", "Bearer t0ken")
    create(server.url, spec=SPEC)
    assert server.authorizations == ["Bearer t0ken"]


# What is answered


def test_shapes_have_scores_attributes_and_groups(ask):
    car, thing, tag = ask(
        [
            {
                "label": "car",
                "type": "rectangle",
                "points": [1, 2, 30, 40.5],
                "confidence": "0.75",
                "rotation": -90,
                "group_id": 3,
                "attributes": [{"name": "age", "value": 30.0}, {"name": "dirty", "value": True}],
            },
            {"label": "thing", "type": "polyline", "points": [1, 2, 3, 4], "occluded": 1},
            {"label": "day", "type": "tag", "confidence": 1.0000001},
        ]
    )
    assert (car.label_id, car.type.value, car.points) == (0, "rectangle", [1, 2, 30, 40.5])
    assert (car.score, car.rotation, car.group) == (0.75, 270, 3)
    assert [(value.spec_id, value.value) for value in car.attributes] == [(0, "30"), (1, "true")]
    assert (thing.label_id, thing.type.value, thing.occluded) == (4, "polyline", True)
    assert not hasattr(thing, "score")
    assert (tag.label_id, tag.score) == (2, 1.0)


@pytest.mark.parametrize("beyond", [0, 1])
def test_masks(ask, beyond):
    """CVAT's own functions state a box that ends one pixel outside an image's border."""
    bitmap = np.zeros(SIZE[::-1], bool)
    bitmap[40:48, 50:64] = np.arange(8 * 14).reshape(8, 14) % 3 > 0
    pixels = bitmap[40:, 50:].ravel().astype(int).tolist()
    [found] = ask(
        [
            {
                "label": "road",
                "type": "mask",
                "points": [50, 40, 63, 47],
                "mask": [*pixels, 50, 40, 63 + beyond, 47 + beyond],
                "confidence": 0.5,
            }
        ]
    )
    assert (found.type.value, found.score) == ("mask", 0.5)
    decoded = decode_mask(found.points, image_width=SIZE[0], image_height=SIZE[1])
    assert np.array_equal(decoded, bitmap)


def test_masks_become_polygons_of_the_answer_or_of_the_pixels(ask):
    item = {"label": "road", "type": "mask", "mask": [1] * 6 + [10, 20, 12, 21]}
    [own] = ask([{**item, "points": [10, 20, 13, 20, 11, 22]}], conv_mask_to_poly=True)
    assert (own.type.value, own.points) == ("polygon", [10, 20, 13, 20, 11, 22])
    for points in ({}, {"points": [10, 20, 13, 22]}):  # some functions state the box
        [traced] = ask([{**item, **points}], conv_mask_to_poly=True)
        assert traced.points == [10, 20, 13, 20, 13, 22, 10, 22]


def test_an_empty_mask_is_nothing(ask):
    assert ask([{"label": "road", "type": "mask", "mask": [0] * 4 + [0, 0, 1, 1]}]) == []


def test_skeletons_have_all_points_of_the_spec(ask):
    def element(name: str, x: float, y: float, **more: Any) -> dict[str, Any]:
        return {"label": name, "type": "points", "points": [x, y], **more}

    [found] = ask(
        [
            {
                "label": "person",
                "type": "skeleton",
                "confidence": 0.9,
                "elements": [
                    element("foot", 10, 20, outside=1, confidence="0.1"),
                    element("head", 30, 40, outside=0, confidence="0.8"),
                    element("tail", 1, 1),
                ],
            },
            {"label": "person", "type": "skeleton", "elements": [element("head", 1, 1, outside=1)]},
        ]
    )
    assert [(one.label_id, one.outside, one.points) for one in found.elements] == [
        (0, False, [30, 40]),
        (1, True, [20, 30]),
        (2, True, [10, 20]),
    ]
    assert (found.score, found.elements[0].score) == (0.9, 0.8)


def test_nothing_below_the_threshold_and_outside_the_spec(ask, caplog):
    box = {"type": "rectangle", "points": [1, 2, 3, 4]}
    found = ask(
        [
            {"label": "car", "confidence": 0.5, **box},
            {"label": "car", "confidence": 0.49, **box},
            {"label": "car", **box},
            {"label": "bike", "confidence": 0.9, **box},
            {"label": "bike", "confidence": 0.9, **box},
        ],
        conf_threshold=0.5,
    )
    assert [getattr(one, "score", None) for one in found] == [0.5, None]
    assert caplog.text.count("label 'bike'") == 1


BOX = {"label": "car", "type": "rectangle", "points": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"detail": "no"}, "answers an object, not a list"),
        ([[1, 2, 3, 4]], "number 0) that is a list instead of an object"),
        ([BOX, {"type": "rectangle", "points": [1, 2, 3, 4]}], "number 1) without a 'label'"),
        ([{**BOX, "type": "box"}], "of the type 'box', which CVAT does not have"),
        ([{**BOX, "points": [1, "x", 3, 4]}], "'x' in 'points', which is not a number"),
        ([{**BOX, "points": None}], "without a list of 'points'"),
        ([{**BOX, "confidence": "high"}], "'high' in 'confidence'"),
        ([{**BOX, "attributes": [{"name": "age"}]}], "not an object with 'name' and 'value'"),
        ([{**BOX, "type": "mask"}], "with a 'mask' that is not a flat list"),
        ([{**BOX, "type": "mask", "mask": [1, 1, 0, 0, 1, 1]}], "'mask' of 2 pixels for the box"),
        ([{**BOX, "label": "person", "type": "skeleton"}], "without a list of 'elements'"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(ask, answer, text):
    with pytest.raises(NuclioError) as caught:
        ask(answer)
    assert text in str(caught.value)
    assert "http://127.0.0.1" in str(caught.value)


# Failures


def test_repeats_after_busy_workers_and_lost_connections(server, make_context):
    server.faults.extend([503, 429, DROP, 500])
    assert create(server.url, spec=SPEC, retries=4).probe() is None
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ([503, 503], "answers 503 Service Unavailable (2 attempts): its workers are busy. Lower"),
        ([500, 500], "(2 attempts), 'worker said 500': look into the function's log"),
        ([DROP, DROP], "does not answer (Remote end closed connection without response; 2 attempt"),
        ([404], "answers 404 Not Found, 'worker said 404': 'url' must be that"),
        ([413], "raise maxRequestBodySize"),
        ([401], "set the environment variable CVAT_FLOWS_NUCLIO_AUTHORIZATION"),
        ([302], "to 'another URL': if you trust that one"),
    ],
)
def test_gives_up_with_a_sentence(server, faults, text):
    server.faults.extend(faults)
    with pytest.raises(NuclioError) as caught:
        create(server.url, spec=SPEC, retries=1)
    assert text in str(caught.value)
    assert len(server.requests) == len(faults)


def test_waits_as_long_as_it_is_asked_to(server, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(remote_client, "time", SimpleNamespace(sleep=waits.append))
    server.faults.extend([429, 429])
    server.headers = {"Retry-After": "0.2"}
    create(server.url, spec=SPEC)
    server.faults.append(429)
    server.headers = {"Retry-After": "86400"}
    create(server.url, spec=SPEC)
    assert waits == [0.2, 0.2, remote_client.MAX_WAIT]


def test_a_function_that_takes_too_long(server, gate):
    with pytest.raises(NuclioError, match=r"did not answer within 0\.05 s: give it more time"):
        create(server.url, spec=SPEC, timeout=0.05)
    assert len(server.requests) == 1


def test_something_else_answers(server):
    server.raw = b"<html> Welcome  to nginx"
    with pytest.raises(NuclioError, match="something else than JSON"):
        create(server.url, spec=SPEC)


def test_nobody_answers(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(NuclioError, match=r"does not answer .Connection refused; 1 attempt"):
            create(url, spec=SPEC, retries=0)


def test_one_bad_image_does_not_cost_its_batch_more_requests(server, gate, make_context):
    """The images that wait are not sent any more, but the next can be on its way."""
    server.faults.append(404)
    function = create(server.url, spec=SPEC, concurrency=1, probe=False)
    with pytest.raises(NuclioError):
        function.detect_batch([make_context()] * 50, [PIL.Image.new("RGB", SIZE)] * 50)
    assert len(server.requests) <= 2


# Parameters


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "The labels of the function are needed once"),
        ({"spec": "[{}]"}, "has a label without a name"),
        ({"spec": "car"}, "'spec' is not JSON"),
        ({"spec": "{}"}, "'spec' must be a list of labels"),
        ({"spec": [{"name": "a"}, {"name": "a"}]}, "has the label 'a' twice"),
        ({"spec": [{"name": "a", "type": "skeleton"}]}, "a skeleton without sublabels: 'a'"),
        (
            {"spec": [{"name": "a", "attributes": [{"name": "b"}]}]},
            "an attribute 'b' of 'a' with the input_type None",
        ),
        (
            {"spec": [{"name": "a", "attributes": [{"name": "b", "input_type": "number"}]}]},
            "invalid values: wrong number of values",
        ),
        ({"spec": SPEC, "conf": 2}, "conf is 2, but must be from 0 to 1"),
        ({"spec": SPEC, "concurrency": 0}, "concurrency is 0, but must be at least 1"),
        ({"spec": SPEC, "retries": -1}, "retries is -1, but must be at least 0"),
        ({"spec": SPEC, "timeout": 0.0}, "timeout is 0 s, but must be above 0"),
        ({"spec": SPEC, "image_format": "gif"}, "must be one of: auto, jpeg, png"),
        ({"spec": SPEC, "url": "gpu-box:80"}, "must look like http://localhost:32768"),
        ({"spec": SPEC, "url": "http://me:pass@gpu-box"}, "has a user or a password"),
        ({"function_yaml": "no/function.yaml"}, "cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_parameter_says_what_is_wrong(parameters, text):
    with pytest.raises(NuclioError) as caught:
        create(**{"url": "http://127.0.0.1:1", "probe": False, **parameters})
    assert text in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"spec": ""}, "has no spec under metadata, annotations"),
        ({"type": "tracker"}, "a function of type 'tracker', but only a 'detector'"),
        ({"spec": "[{"}, "is not JSON"),
    ],
)
def test_a_function_yaml_that_cannot_be_used(tmp_path, annotations, text):
    with pytest.raises(NuclioError) as caught:
        create("http://127.0.0.1:1", function_yaml=function_yaml(tmp_path, **annotations))
    assert text in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_yaml(tmp_path):
    path = tmp_path / "function.yaml"
    path.write_text("metadata: [")
    with pytest.raises(NuclioError, match="is not YAML"):
        create("http://127.0.0.1:1", function_yaml=path)


def test_loads_by_name_with_a_function_yaml(server, tmp_path, make_context):
    parameters = {"url": server.url, "function_yaml": str(function_yaml(tmp_path))}
    loaded = load_function("aa_functions.nuclio", parameters)
    assert (loaded.title, loaded.name) == ("onnx-cars", "aa_functions.nuclio:onnx-cars")
    assert loaded.image_only
    assert [(label.name, label.type) for label in loaded.function.spec.labels] == [
        ("car", "rectangle"),
        ("road", "mask"),
        ("day", "tag"),
        ("person", "skeleton"),
        ("thing", "any"),
    ]
    assert FunctionLoader("aa_functions.nuclio", None, parameters).load().spec == (
        loaded.function.spec
    )


def test_the_fingerprint_follows_what_can_be_known(server, tmp_path):
    def fingerprint(**parameters: Any) -> str | None:
        labels = SPEC[:1] if parameters.pop("cut", 0) else SPEC
        path = function_yaml(tmp_path, spec=json.dumps(labels))
        given = {"url": server.url, "probe": False, "function_yaml": str(path), **parameters}
        return load_function("aa_functions.nuclio", given).fingerprint

    first = fingerprint()
    assert first == fingerprint(concurrency=7, retries=1, timeout=2.0)
    changed = [fingerprint(**one) for one in ({"version": "2"}, {"conf": 0.5}, {"cut": 1})]
    assert len({first, fingerprint(url="http://127.0.0.1:9"), *changed}) == 5


def test_a_url_that_does_not_answer_is_a_mistake_in_the_reference():
    parameters = {"url": "http://127.0.0.1:9", "spec": json.dumps(SPEC), "retries": 0}
    with pytest.raises(FunctionReferenceError, match="start it, or correct 'url'"):
        load_function("aa_functions.nuclio", parameters)


# Speed


def test_keeps_requests_in_flight(server, make_context):
    """Each answer waits until four requests are there."""
    four = threading.Barrier(4, timeout=HANG_TIMEOUT)

    def detect(image: PIL.Image.Image, threshold: float | None) -> Any:
        four.wait()
        return [{**BOX, "points": [0, 0, *image.size]}]

    server.detect = detect
    images = [PIL.Image.new("RGB", (64 + n, 48)) for n in range(24)]
    function = create(server.url, spec=SPEC, concurrency=4, probe=False)
    found = function.detect_batch([make_context()] * 24, images)
    assert [one.points[2] for [one] in found] == [64 + n for n in range(24)]
    assert server.most_at_a_time == 4
