"""Without a Prefect server, the pages of a run are files in the storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.tasks.reports import failed_frames


def test_the_pages_are_beside_the_table_that_they_name(
    make_task: Callable[..., Any],
    annotate: Any,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failed_frames, "MAX_SHOWN", 1)
    failing = {"fail": "img_0001.jpg,img_0002.jpg"}
    finished = annotate(make_task(4), function_parameters=failing)
    files = [storage_folder / path for _, path in finished.report.files]
    assert [file.name for file in files] == ["frames.csv", "failed-frames.md", "report.md"]
    texts = {file.name: file.read_text() for file in files}
    table = files[0].relative_to(storage_folder)
    assert f"the per-frame table contains all: `{table}`" in texts["failed-frames.md"]
    assert str(table) in texts["report.md"]
