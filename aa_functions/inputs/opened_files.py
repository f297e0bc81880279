"""Notice which files a function reads: what is in them may decide its results.

Python tells an audit hook about every file that it opens. The hook cannot be removed, so there is
one for all functions, and it returns at once while no function is observed.

Files of Python, of installed distributions and of the system do not count, nor do caches of the
user and files that the function writes itself. What native code opens is not seen: see
`aa_functions.inputs.named_files`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import ref

INSTALLATION_FOLDERS = frozenset({"site-packages", "dist-packages"})
_PATH_ARGUMENT = {"open": 0, "sqlite3.connect": 0, "ctypes.dlopen": 0, "import": 1}
"""Position of the path in the arguments of the events that count."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM_FOLDERS = ("/proc", "/dev", "/sys", "/etc", "/run", "/lib", "/usr/lib", "/usr/share")
_METADATA = (".egg-info", ".dist-info")
_USER_FOLDERS = (".cache", ".config", ".prefect")
_MODEL_CACHES = (".cache/huggingface", ".cache/torch")


class FileObserver:
    """The files that a function has read so far. Thread-safe.

    Counts what is opened inside `observing()`, and what other threads open in code of `sources`.
    """

    def __init__(self) -> None:
        self.sources: frozenset[str] = frozenset()
        """Paths of the function's source files, as its code names them."""
        self._lock = threading.Lock()
        self._threads: dict[int, int] = {}
        self._read: dict[str, None] = {}
        self._written: set[str] = set()

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Count what this thread opens."""
        _observe(self)
        thread = threading.get_ident()
        with self._lock:
            self._threads[thread] = self._threads.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._threads[thread] -= 1
                if not self._threads[thread]:
                    del self._threads[thread]

    def take(self) -> list[str]:
        """Return the absolute paths of the inputs that were read since the last call."""
        if not self._read:
            return []
        with self._lock:
            opened, self._read = self._read, {}
        return list(dict.fromkeys(path for one in opened if (path := self._input(one))))

    def _input(self, path: str) -> str | None:
        """Return the path, for compiled code that of its source; None if it does not count."""
        if os.path.basename(os.path.dirname(path)) == "__pycache__":
            try:
                path = importlib.util.source_from_cache(path)
            except ValueError:  # another cache, such as that of numba
                return None
        if path in self._written or not is_input(path) or not os.path.isfile(path):
            return None
        return path

    def notice(self, path: str, *, writing: bool) -> None:
        """Note a file that is being opened. Called by the audit hook."""
        if threading.get_ident() not in self._threads and not self._is_in_sources():
            return
        with self._lock:
            if writing:
                self._written.add(path)
            else:
                self._read[path] = None

    def _is_in_sources(self) -> bool:
        if not self.sources:
            return False
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in self.sources:
                return True
            frame = frame.f_back
        return False


def is_input(path: str) -> bool:
    """Return whether a file with this absolute path can be an input of a function."""
    parts = path.split(os.sep)
    if not INSTALLATION_FOLDERS.isdisjoint(parts) or any(p.endswith(_METADATA) for p in parts):
        return False
    home = os.path.expanduser("~")
    return _is_below(path, _model_caches(home)) or not _is_below(path, _ignored_folders(home))


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder) for folder in folders)


@cache
def _ignored_folders(home: str) -> tuple[str, ...]:
    own = [str(path) for name in ("aa_functions", "cvat_flows") for path in _package_folders(name)]
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    configured = [os.environ.get(name, "") for name in ("YOLO_CONFIG_DIR", "MPLCONFIGDIR")]
    user = [os.path.join(home, name) for name in _USER_FOLDERS]
    return _prefixes([*_SYSTEM_FOLDERS, *user, *own, *python, *configured])


@cache
def _model_caches(home: str) -> tuple[str, ...]:
    return _prefixes(os.path.join(home, name) for name in _MODEL_CACHES)


def _prefixes(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.join(os.path.abspath(folder), "") for folder in folders if folder)


def _package_folders(name: str) -> list[Path]:
    """Return the folder of a package of this project, and those that it links to."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    found = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    links = [
        entry.resolve() for folder in found for entry in folder.iterdir() if entry.is_symlink()
    ]
    return [*found, *links]


_observers: tuple[ref[FileObserver], ...] = ()
"""Replaced, never changed: the hook reads it without a lock."""
_observers_lock = threading.Lock()
_is_hooked = False


def _observe(observer: FileObserver) -> None:
    global _observers, _is_hooked
    if any(one() is observer for one in _observers):
        return
    with _observers_lock:
        _observers = (*(one for one in _observers if one() is not None), ref(observer))
        if not _is_hooked:
            sys.addaudithook(_hook)
            _is_hooked = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _observers or event not in _PATH_ARGUMENT:
        return
    try:
        path = arguments[_PATH_ARGUMENT[event]]
        if not path or isinstance(path, int):
            return
        path = os.path.abspath(os.fsdecode(path))
        writing = event == "open" and bool(int(arguments[2]) & _WRITING)
        for one in _observers:
            observer = one()
            if observer is not None:
                observer.notice(path, writing=writing)
    except Exception:
        return  # an exception here would be raised by `open`
