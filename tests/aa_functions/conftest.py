"""Contexts, a separate weights folder, and pictures of shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen
from PIL import Image

from aa_functions.training.shape_images import make_shape_images


@frozen(kw_only=True)
class Context:
    """What the SDK's driver and the pipeline pass to `detect`."""

    frame_name: str = "picture.jpg"
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False


@pytest.fixture
def make_context() -> Callable[..., Context]:
    return Context


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's weights folder, which keeps exports for the session."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def _own_weights_folder(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Eight pictures of five sizes. Pictures of equal size do not follow each other."""
    return [made.image for made in make_shape_images(8, seed=70_001)]
