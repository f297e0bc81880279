"""Find frames and labels of a task by the names that a file has for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from cvat_flows.tasks.evaluate.errors import AnnotationFileError
from cvat_flows.tasks.matching.names import ByName
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line


class Names:
    """The names of a task's frames and labels.

    Args:
        media: The task. The frames of a video have no names.
        labels: Its labels.
    """

    def __init__(self, media: TaskMedia, labels: Iterable[Label]) -> None:
        self._task_id = media.task_id
        self.size = media.size
        self._labels = ByName(labels)
        self._by_name: dict[str, int] = {}
        self._by_last: dict[str, int | None] = {}
        for number, name in enumerate(media.names if len(media.names) == media.size else ()):
            self._by_name[name] = number
            last = PurePosixPath(name).name
            self._by_last[last] = None if last in self._by_last else number

    def frame(self, name: str) -> int | None:
        """Return the frame with this name: in full, or without folders if only one has it."""
        name = name.replace("\\", "/")
        found = self._by_name.get(name)
        return self._by_last.get(PurePosixPath(name).name) if found is None else found

    def label(self, name: str) -> Label:
        """Return the label with this name. Raises AnnotationFileError."""
        found = self._labels.find(name)
        if found is None:
            raise AnnotationFileError(
                f"the label {on_one_line(name, 60)!r} is not in task {self._task_id}; rename it in "
                "the file, or add it to the task"
            )
        label: Label = found
        return label
