"""Import Ultralytics offline, without output, and with or without torchvision's operators.

Call `import_ultralytics()` in place of every import: its settings take effect only before the first
`import ultralytics` of the process.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import tempfile
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL.Image

from aa_functions.errors import UnsafeFolderError, YoloNotInstalledError

_lock = threading.Lock()
_declared: list[Any] = []
"""Keeps the library of operators: they vanish when it is garbage-collected."""


def import_ultralytics() -> Any:
    """Return the `ultralytics` module.

    Environment variables that the user has set are kept.

    Raises:
        YoloNotInstalledError: if a package is missing. The text says what to install.
        UnsafeFolderError: if another user controls the folder for Ultralytics' settings.
    """
    with _lock:
        os.environ.setdefault("YOLO_OFFLINE", "1")  # no DNS probes, telemetry, version checks
        os.environ.setdefault("YOLO_AUTOINSTALL", "0")  # no pip at run time
        os.environ.setdefault("YOLO_VERBOSE", "false")
        if "YOLO_CONFIG_DIR" not in os.environ:
            os.environ["YOLO_CONFIG_DIR"] = _config_folder()
        # Ultralytics sets OMP_NUM_THREADS to 1. Torch reads it on import, so import torch first.
        try:
            import torch  # noqa: F401

            declare_missing_nms()
            import ultralytics
            from ultralytics.utils import patches

            # Undo Ultralytics' patch, which tries to load another library for damaged images.
            PIL.Image.open = getattr(patches, "_image_open", PIL.Image.open)
        except ImportError as error:
            raise YoloNotInstalledError(
                f"YOLO functions need ultralytics, torch and torchvision ({error}): "
                "pip install 'cvat-flows[yolo]'"
            ) from error
        return ultralytics


def _config_folder() -> str:
    """Return a folder for Ultralytics' settings file. Its default is the home folder.

    The name can be guessed, so another user can create the folder first, or a link of that name.
    Raises UnsafeFolderError then.
    """
    folder = Path(tempfile.gettempdir()) / f"cvat-flows-ultralytics-{_user()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    status = folder.lstat()
    is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not (is_own and stat.S_ISDIR(status.st_mode)):
        raise UnsafeFolderError(
            f"'{folder}' is not a folder of this user: remove it, or set YOLO_CONFIG_DIR to a "
            "folder of your own."
        )
    folder.chmod(0o700)
    return str(folder)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def declare_missing_nms() -> None:
    """Give torch a CPU kernel for `torchvision::nms` if torchvision's own cannot be loaded.

    Next to a CPU build of torch, the compiled operators of a CUDA build of torchvision do not load,
    and importing torchvision fails. This does nothing if torchvision works.
    """
    import torch

    if _declared or hasattr(torch.ops.torchvision, "nms") or _load_compiled_operators():
        return
    make_library: Any = torch.library.Library
    library = make_library("torchvision", "DEF")
    # Importing torchvision registers fake kernels for these two, so both must be defined.
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _declared.append(library)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchvision.ops.boxes

    # torchvision's `nms` refuses to run without compiled operators, but needs only the one above.
    torchvision.ops.boxes._assert_has_ops = lambda: None


def _load_compiled_operators() -> bool:
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return True  # not installed: Ultralytics reports that
    load_library: Any = torch.ops.load_library
    libraries = [
        path
        for path in sorted(Path(found.origin).parent.glob("_C*"))
        if path.suffix in {".so", ".pyd", ".dylib"}
    ]
    for library in libraries:
        try:
            load_library(str(library))
        except OSError:
            return False
    return bool(libraries)


def _nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    from ultralytics.utils.nms import TorchNMS

    return TorchNMS.nms(dets, scores, iou_threshold)
