"""Read the truth from a file with annotations: COCO or CVAT's own formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cvat_flows.tasks.evaluate.errors import AnnotationFileError
from cvat_flows.tasks.evaluate.truth.coco_file import read_coco
from cvat_flows.tasks.evaluate.truth.cvat_xml import read_cvat_xml
from cvat_flows.tasks.evaluate.truth.names import Names
from cvat_flows.tasks.evaluate.truth.truth import TrueObject, Truth
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted, on_one_line


def read_truth_file(path: Path, media: TaskMedia, labels: Iterable[Label]) -> Truth:
    """Read the truth about a task from a file.

    Raises AnnotationFileError if the file cannot be read, has labels that the task lacks, or is
    about other images.
    """
    names = Names(media, labels)
    try:
        content = path.read_bytes()
        read = read_cvat_xml if content.lstrip()[:1] == b"<" else read_coco
        images, objects = read(content, names)
    except OSError as error:
        raise AnnotationFileError(
            f"--truth-file {path}: cannot be read ({error.strerror})"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise AnnotationFileError(
            f"--truth-file {path}: is neither COCO nor CVAT XML ({type(error).__name__}: {error})"
        ) from error
    except AnnotationFileError as error:
        raise AnnotationFileError(f"--truth-file {path}: {error}") from error
    frames = {frame for frame in images.values() if frame is not None}
    if not frames:
        example = next(iter(images), "none")
        raise AnnotationFileError(
            f"--truth-file {path}: is about other images: it has {counted(len(images), 'image')}, "
            f"for example {on_one_line(str(example), 80)!r}, and none is in task {media.task_id}"
        )
    unknown = len(images) - len(frames)
    notes = (
        [f"{counted(unknown, 'image')} of the file left out: not in the task"] if unknown else []
    )
    known = frames - media.deleted_frames
    return Truth(
        source=f"file {path.name}",
        frames=frozenset(known),
        objects=[TrueObject(annotation=one) for one in objects if one.frame in known],
        notes=tuple(notes),
    )
