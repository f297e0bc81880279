"""Keep measurements in the storage: one file a day of each review, and of each evaluated task.

Nothing prunes them: a file has some kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cvat_flows.tasks.evaluate.errors import DamagedFigures
from cvat_flows.tasks.evaluate.quality.measurement import (
    Measurement,
    Version,
    dump_measurements,
    parse_measurements,
)
from cvat_flows.tasks.model.identity import folder_of_number
from cvat_flows.tasks.model.text import host_slug
from cvat_flows.tasks.storage import Storage

QUALITY = "quality"
"""Folder in the storage."""
HISTORY_TABLE = f"{QUALITY}/history.parquet"
"""All that is kept, for dashboards."""
_REVIEWS = f"{QUALITY}/reviews"
_EVALUATIONS = f"{QUALITY}/evaluations"


def keep_review(storage: Storage, host: str, measurements: Sequence[Measurement]) -> None:
    """Keep what a review of all tasks of a server has found. Replaces a review of the same day."""
    path = f"{_REVIEWS}/{host_slug(host)}/{_today()}.json"
    storage.write(path, dump_measurements(measurements))


def keep_evaluation(storage: Storage, measurement: Measurement) -> None:
    """Keep an evaluation. Replaces one of this version on the same task and day."""
    folder = f"{_folder(measurement.version)}/{measurement.task}"
    storage.write(f"{folder}/{measurement.date}.json", dump_measurements([measurement]))


def last_review(storage: Storage, host: str, version: Version) -> list[Measurement]:
    """Return what the newest review of a server says about a version.

    Several measurements are about functions with the same version and different names.
    """
    paths = _paths(storage, f"{_REVIEWS}/{host_slug(host)}")
    newest = paths[-1:]
    return [one for one in _read(storage, newest) if one.version == version]


def last_evaluations(storage: Storage, version: Version) -> list[Measurement]:
    """Return the newest evaluation of a version on each task."""
    newest: dict[str, str] = {}
    for path in _paths(storage, _folder(version)):
        newest[path.rpartition("/")[0]] = path
    found = _read(storage, list(newest.values()))
    return [one for one in found if one.version == version]


def read_history(
    storage: Storage, *, days: int | None = None, task_id: int | None = None
) -> list[Measurement]:
    """Return what was kept, the oldest first.

    Args:
        storage: Where it is kept.
        days: Only what was measured in the last days.
        task_id: Only evaluations on tasks with this id.
    """
    since = "" if days is None else f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"
    paths = [path for path in _paths(storage, QUALITY) if _date(path) > since]
    if task_id is not None:
        paths = [path for path in paths if f"/{folder_of_number(task_id)}/" in path]
    return sorted(_read(storage, paths), key=lambda one: one.when)


def _read(storage: Storage, paths: Sequence[str]) -> Iterator[Measurement]:
    for path, content in storage.read_many(paths).items():
        try:
            yield from parse_measurements(content)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFigures(
                f"the kept figures {path!r} cannot be read ({type(error).__name__}: {error}); "
                "delete the file, and measure again"
            ) from error


def _paths(storage: Storage, folder: str) -> list[str]:
    """Return the files of a folder, the oldest of each subfolder first."""
    return sorted(one.path for one in storage.list(folder) if one.path.endswith(".json"))


def _date(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _folder(version: Version) -> str:
    return f"{_EVALUATIONS}/{version.fingerprint[:16]}-{version.options}"


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
