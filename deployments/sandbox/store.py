"""The sandbox's data: rows kept in memory and written to SQLite, annotations in SQLite alone."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

Row = dict[str, Any]
"""One object (a task, a job, a label ...) with CVAT's field names.

Keys that begin with `_` are private: no answer shows them.
"""

PARENTS = (
    ("task", "project_id", "project"), ("data", "task_id", "task"), ("request", "task_id", "task"),
    ("job", "task_id", "task"), ("label", "task_id", "task"), ("label", "project_id", "project"),
    ("label", "parent_id", "label"), ("issue", "job", "job"), ("comment", "issue", "issue"),
    ("webhook", "project_id", "project"), ("delivery", "webhook_id", "webhook"),
    ("quality_report", "task_id", "task"),
)  # fmt: skip
"""(kind, key, parent kind): a parent's users may use its children; deleting it deletes them."""

SCHEMA = """
PRAGMA journal_mode = WAL;  -- a killed process loses nothing; only a power cut could
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS rows (kind TEXT, id INTEGER, body BLOB, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS last_ids (kind TEXT PRIMARY KEY, id INTEGER);
CREATE TABLE IF NOT EXISTS annotations (job INTEGER, kind TEXT, frame INTEGER, id INTEGER,
    body BLOB, filled_in BLOB, PRIMARY KEY (job, kind, frame, id)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS annotation_ids ON annotations (kind, id);
"""


class Annotation(NamedTuple):
    """One tag, shape or track of a job."""

    job: int
    kind: str
    frame: int
    id: int
    body: bytes
    """JSON as a GET returns it, so that reading 100,000 shapes only joins strings."""
    filled_in: bytes | None = None
    """JSON: ids of the attributes that were not sent. Their values in `body` are the defaults."""


class Store:
    """Everything in the sandbox's folder. All changes must be made inside `writing()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._local = threading.RLock(), threading.local()
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._rows: defaultdict[str, dict[int, Row]] = defaultdict(dict)
        self._children: defaultdict[tuple[str, str, Any], dict[int, Row]] = defaultdict(dict)
        self._path = folder / "sandbox.sqlite"
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)
        for kind, body in self._database.execute("SELECT kind, body FROM rows ORDER BY id"):
            self._remember(kind, orjson.loads(body))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block as a transaction, one writer at a time. A nested block joins the outer."""
        with self._lock:
            if self._database.in_transaction:
                yield
            else:
                self._database.execute("BEGIN IMMEDIATE")
                with self._database:
                    yield

    def now(self) -> str:
        """Return the current time; each call returns a later time than the calls before.

        Clients compare dates to find out whether something has changed.
        """
        with self._lock:
            self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
            return self._latest.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def all(self, kind: str) -> list[Row]:
        return list(self._rows[kind].values())

    def get(self, kind: str, row_id: int | None) -> Row | None:
        return self._rows[kind].get(row_id or 0)

    def existing(self, kind: str, row_id: int) -> Row:
        """Return a row that must exist, for example the task of a job."""
        return self._rows[kind][row_id]

    def first(self, kind: str, **equal: Any) -> Row | None:
        """Return the first row whose fields have the given values."""
        return next((row for row in self.all(kind) if equal.items() <= row.items()), None)

    def children(self, kind: str, **parent: int | None) -> list[Row]:
        """Return the rows of a kind that belong to one parent: `children("job", task_id=7)`."""
        [(key, value)] = parent.items()
        return list(self._children[kind, key, value].values())

    def add(self, kind: str, **values: Any) -> Row:
        """Create a row under a new id. Ids are never used again."""
        now = self.now()
        row = {"id": self.next_id(kind), "created_date": now, "updated_date": now, **values}
        self.save(kind, row)
        return row

    def save(self, kind: str, row: Row) -> None:
        self._remember(kind, row)
        values = (kind, row["id"], orjson.dumps(row))
        self._database.execute("REPLACE INTO rows VALUES (?, ?, ?)", values)

    def _remember(self, kind: str, row: Row) -> None:
        self._rows[kind][row["id"]] = row
        for child, key, _ in PARENTS:
            if child == kind and key in row:
                self._children[kind, key, row[key]][row["id"]] = row

    def change_parent(self, kind: str, row: Row, key: str, parent_id: int) -> None:
        """Make a row belong to another parent."""
        self._children[kind, key, row[key]].pop(row["id"], None)
        row[key] = parent_id
        self.save(kind, row)

    def delete(self, kind: str, row: Row) -> None:
        """Delete a row and everything that belongs to it."""
        for child_kind, key, parent_kind in PARENTS:
            if parent_kind == kind:
                for child in self.children(child_kind, **{key: row["id"]}):
                    self.delete(child_kind, child)
            if child_kind == kind:
                self._children[kind, key, row.get(key)].pop(row["id"], None)
        self._rows[kind].pop(row["id"], None)
        self._database.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, row["id"]))
        if kind == "job":
            self.clear_annotations(row["id"])
        if kind == "task":
            shutil.rmtree(self.media_folder(row["id"]), ignore_errors=True)

    def next_id(self, kind: str, count: int = 1) -> int:
        """Reserve `count` new ids; return the first."""
        query = (
            "INSERT INTO last_ids VALUES (?, ?) ON CONFLICT DO UPDATE SET id = id + excluded.id "
            "RETURNING id"
        )
        [(last,)] = self._database.execute(query, (kind, count)).fetchall()
        return int(last) - count + 1

    def media_folder(self, task_id: int) -> Path:
        return self.folder / "tasks" / str(task_id)

    def jobs_of(self, task_id: int, *types: str) -> list[Row]:
        """Return a task's jobs by first frame, the ground-truth job last; `types` selects some."""
        jobs = self.children("job", task_id=task_id)
        selected = [job for job in jobs if not types or job["type"] in types]
        return sorted(selected, key=lambda job: (job["type"] != "annotation", job["start_frame"]))

    def labels_of(self, task: Row) -> list[Row]:
        """Return the labels that a task uses, its own or its project's, with their sublabels."""
        if task["project_id"] is not None:
            return self.children("label", project_id=task["project_id"])
        return self.children("label", task_id=task["id"])

    def annotations(self, kind: str, jobs: Sequence[int]) -> list[Annotation]:
        """Return the committed annotations of the jobs, sorted by frame and id.

        Each thread reads on its own connection.
        """
        if not hasattr(self._local, "reader"):
            self._local.reader = sqlite3.connect(self._path)
        where = f"job IN ({','.join('?' * len(jobs))}) AND kind = ? ORDER BY frame, id"
        query = f"SELECT * FROM annotations WHERE {where}"
        return [Annotation(*row) for row in self._local.reader.execute(query, (*jobs, kind))]

    def job_of_annotation(self, kind: str, annotation_id: int | None) -> int | None:
        query = "SELECT job FROM annotations WHERE kind = ? AND id = ?"
        found = self._database.execute(query, (kind, annotation_id)).fetchone()
        return found and int(found[0])

    def add_annotations(self, rows: Iterable[Annotation]) -> None:
        self._database.executemany("INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?)", rows)

    def delete_annotations(self, job: int, kind: str, ids: Iterable[int | None]) -> None:
        query = "DELETE FROM annotations WHERE job = ? AND kind = ? AND id = ?"
        self._database.executemany(query, ((job, kind, one) for one in ids))

    def edit_annotations(self, jobs: Sequence[int], edit: Callable[[Row, list[int]], None]) -> None:
        """Change all annotations of the jobs as they are stored.

        Args:
            jobs: Ids of the jobs.
            edit: Changes the JSON of an annotation and the ids of its filled in attributes.
        """
        where = f"job IN ({','.join('?' * len(jobs))})"
        rows = self._database.execute(f"SELECT * FROM annotations WHERE {where}", (*jobs,))
        for row in [Annotation(*row) for row in rows.fetchall()]:
            body, filled_in = orjson.loads(row.body), orjson.loads(row.filled_in or b"[]")
            edit(body, filled_in)
            self._database.execute(
                "UPDATE annotations SET body = ?, filled_in = ? WHERE kind = ? AND id = ?",
                (orjson.dumps(body), orjson.dumps(filled_in), row.kind, row.id),
            )

    def clear_annotations(self, job: int) -> int:
        """Delete all annotations of a job; return their number."""
        return self._database.execute("DELETE FROM annotations WHERE job = ?", (job,)).rowcount
