from __future__ import annotations

import pytest

from cvat_flows.deployments.setup.changes import SetupError
from cvat_flows.deployments.setup.gpu_limits import parse_gpus


@pytest.mark.parametrize(
    ("texts", "gpus"),
    [
        ([], {}),
        ([""], {}),
        (["2"], {"gpu": 2}),
        (["a=1", "b=4"], {"gpu:a": 1, "gpu:b": 4}),
        (["a=1 b=4"], {"gpu:a": 1, "gpu:b": 4}),
    ],
)
def test_gpus(texts: list[str], gpus: dict[str, int]) -> None:
    assert parse_gpus(texts) == gpus


@pytest.mark.parametrize("text", ["0", "x", "a=", "-1", "a=0", "1.5"])
def test_wrong_gpus(text: str) -> None:
    with pytest.raises(SetupError, match=r"--gpus .*: give a number"):
        parse_gpus([text])
