"""The files that a function reads: those that its fingerprint counts, and those that come later."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aa_functions.inputs.digest import FingerprintError, file_digest
from aa_functions.inputs.named_files import files_beside, named_files, native_readers
from aa_functions.inputs.opened_files import FileObserver, is_input
from aa_functions.inputs.parsing import parse
from aa_functions.inputs.sources import Source, imports_of

MAX_FILES = 2_000
"""A function that reads more files while it is loaded has no fingerprint: hashing them takes longer
than what a cache saves."""

_counted_before: WeakKeyDictionary[ModuleType, dict[str, str]] = WeakKeyDictionary()
"""Digests of what a module has read, by path. It may still hold that content when the function is
loaded again in this process, whatever the file holds then."""


class UnknownInputs(FingerprintError):
    """It cannot be known which files a function reads."""


class Watched(Protocol):
    """What a function reads. Thread-safe."""

    def observing(self) -> AbstractContextManager[None]:
        """Watch what the function reads in this block."""

    def missing_input(self) -> str | None:
        """Return the path of a file that the function has read and its fingerprint lacks."""


class WatchedFunctions:
    """What the functions read that a function is made of."""

    def __init__(self, parts: Sequence[Watched]) -> None:
        self._parts = parts

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Watch what the functions read in this block."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part.observing())
            yield

    def missing_input(self) -> str | None:
        """Return the path of a file that one has read and its fingerprint does not count."""
        return next((path for part in self._parts if (path := part.missing_input())), None)


class WatchedFunction:
    """What a function that does not state its inputs reads. Thread-safe.

    Args:
        module: The function's module.
        function: The function.
        parameters: Keyword arguments that `create` was called with.
        sources: Of the module and its local imports.
        observer: Has seen how the function was loaded.

    Raises:
        UnknownInputs: if the function reads files in a way that is not seen.
        FingerprintError: if a file cannot be read.
    """

    def __init__(
        self,
        module: ModuleType,
        function: Any,
        parameters: Mapping[str, Any],
        sources: Mapping[str, Source],
        observer: FileObserver,
    ) -> None:
        paths = [os.path.abspath(source.path) for source in sources.values()]
        observer.sources = frozenset([*paths, *(str(source.path) for source in sources.values())])
        self._observer = observer
        self._sources = frozenset(map(os.path.realpath, paths))
        self._missing: str | None = None
        opened = frozenset(self._without_sources(observer.take()))
        texts = [value for value in parameters.values() if isinstance(value, str)]
        given = [os.path.abspath(text) for text in texts if os.path.isfile(text)]
        trees = [parse(source.text) for source in sources.values()]
        folders = [Path.cwd(), Path(paths[0]).parent] if paths else [Path.cwd()]
        named = self._without_sources(
            path for path in named_files(trees, folders, function) if is_input(path)
        )
        before = _counted_before.setdefault(module, {})
        known = [*opened, *given, *named, *before]
        readers = native_readers(imports_of(sources, module.__name__), trees)
        endings = {ending for some in readers.values() for ending in some}
        known += files_beside([*known, *paths[:1]], endings)
        _check_readers(readers, known)
        if len(set(known)) > MAX_FILES:
            raise UnknownInputs(f"it reads more than {MAX_FILES:,} files while it is loaded")
        for path in known:
            if path not in before or path in opened:
                before[path] = file_digest(Path(path))
        self._counted = before
        self._digests = {os.path.realpath(path): digest for path, digest in before.items()}
        by_parameter = set(map(os.path.realpath, given))
        self.files = [
            (os.path.basename(path), before[path])
            for path in sorted(before, key=lambda path: (os.path.basename(path), path))
            if os.path.realpath(path) not in by_parameter
        ]
        """Names and digests of the files that count beside the parameters. The folders do not
        count."""

    def observing(self) -> AbstractContextManager[None]:
        """Watch what the function reads in this block."""
        return self._observer.observing()

    def missing_input(self) -> str | None:
        """Return the path of a file that the function has read and its fingerprint does not count.

        Such a file was read after the function had been loaded, or has changed since.
        """
        if self._missing is None:
            for path in self._without_sources(self._observer.take()):
                digest = _digest_or_none(path)
                if digest is None or digest != self._digests.get(os.path.realpath(path)):
                    self._counted[path] = digest or ""
                    self._missing = path
        return self._missing

    def _without_sources(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if os.path.realpath(path) not in self._sources]


def _check_readers(readers: Mapping[str, tuple[str, ...]], known: Iterable[str]) -> None:
    files = list(known)
    for reader, endings in readers.items():
        if not any(path.lower().endswith(endings) for path in files):
            raise UnknownInputs(
                f"it uses {reader}, which opens files unseen, and names no file that ends in "
                f"{' or '.join(endings)}"
            )


def _digest_or_none(path: str) -> str | None:
    try:
        return file_digest(Path(path))
    except FingerprintError:
        return None
