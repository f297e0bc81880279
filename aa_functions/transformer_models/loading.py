"""Load a model and its processor from a folder, without the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from aa_functions.errors import TransformersError

Task = Literal["detection", "segmentation", "classification", "zero-shot detection"]

_MAPPINGS: dict[Task, tuple[str, ...]] = {
    "detection": ("OBJECT_DETECTION",),
    "segmentation": (
        "INSTANCE_SEGMENTATION",
        "UNIVERSAL_SEGMENTATION",
        "SEMANTIC_SEGMENTATION",
    ),
    "classification": ("IMAGE_CLASSIFICATION",),
    "zero-shot detection": ("ZERO_SHOT_OBJECT_DETECTION",),
}
"""Names in Transformers of the lists of architectures."""


@frozen(kw_only=True)
class LoadedModel:
    """A model in evaluation mode, and what prepares its input."""

    task: Task
    model: Any
    processor: Any
    """An image processor; for zero-shot detection one of texts and images."""

    @property
    def classes(self) -> dict[int, str]:
        """The names of the classes by number."""
        return {int(number): str(name) for number, name in self.model.config.id2label.items()}


def import_transformers() -> Any:
    """Return the `transformers` module. Raises TransformersError if it cannot be imported."""
    try:
        from aa_functions.backends.ultralytics_import import declare_missing_nms

        declare_missing_nms()
        import transformers
    except ImportError as error:
        raise TransformersError(
            f"Functions of Transformers need transformers, torch and torchvision ({error}): "
            "pip install 'cvat-flows[transformers]'."
        ) from error
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def load_model(folder: Path) -> LoadedModel:
    """Load the model in a folder.

    Raises:
        TransformersError: if it does not fit a task, or the files are damaged or incomplete.
    """
    transformers = import_transformers()
    offline = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **offline)
        task, architecture = _task(transformers, config, folder)
        model, report = getattr(transformers, architecture).from_pretrained(
            folder,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below, with a sentence
            dtype="float32",  # whatever the precision in which the weights are stored
        )
        loader = (
            transformers.AutoProcessor
            if task == "zero-shot detection"
            else transformers.AutoImageProcessor
        )
        processor = loader.from_pretrained(folder, **offline)
    except TransformersError:
        raise
    except ImportError as error:
        raise TransformersError(
            f"The model in '{folder}' needs a package that is missing: {_short(error)}."
        ) from error
    # Damaged files raise many types: OSError, ValueError, RuntimeError, SafetensorError, ...
    except Exception as error:
        raise TransformersError(
            f"The model in '{folder}' cannot be loaded ({_short(error)}): the files are damaged or "
            "incomplete; copy or download them again."
        ) from error
    lacking = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if lacking:
        raise TransformersError(
            f"The weights in '{folder}' lack {len(lacking)} of the model's parameters (such as "
            f"{lacking[0]}): they belong to another model than its config.json."
        )
    return LoadedModel(task=task, model=model.eval(), processor=processor)


def _task(transformers: Any, config: Any, folder: Path) -> tuple[Task, str]:
    """Return the task of a model, and the name of its class."""
    lists = transformers.models.auto.modeling_auto
    names = tuple(config.architectures or ())
    for task, mappings in _MAPPINGS.items():
        for mapping in mappings:
            known = getattr(lists, f"MODEL_FOR_{mapping}_MAPPING_NAMES").values()
            for name in names:
                if name in known:
                    return task, name
    found = f"a {', '.join(names)}" if names else "a model without 'architectures'"
    raise TransformersError(
        f"'{folder}' holds {found}, but aa_functions.huggingface needs a model for object "
        "detection, zero-shot object detection, instance, panoptic or semantic segmentation, or "
        "image classification."
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
