"""Find the files that a function names, without opening them.

Native code opens files unseen (ONNX Runtime, OpenVINO, safetensors, `torch.jit.load`). Most
functions name them in a text of their source, or keep the path in an attribute. Files in the same
folder that end like the reader's files count, too: a model often has several.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_MAX_PATH_LENGTH = 4096
_OUTPUT_ENDINGS = frozenset({"", ".lock", ".log", ".out", ".pid", ".tmp"})
_WRITE_MODE = re.compile(r"[rbt+]*[wax+][rbt+]*")
_WRITERS = frozenset(
    {"FileHandler", "RotatingFileHandler", "basicConfig", "touch", "write_bytes", "write_text"}
)
_NATIVE_READERS = {
    "ai_edge_litert": (".tflite",),
    "cv2.CascadeClassifier": (".xml",),
    "cv2.dnn": (".onnx", ".pb", ".pbtxt", ".caffemodel", ".prototxt", ".weights", ".cfg", ".xml"),
    "cv2.imread": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".exr"),
    "diffusers": (".safetensors", ".bin"),
    "h5py": (".h5", ".hdf5"),
    "jit.load": (".pt", ".pth", ".ts", ".torchscript", ".zip"),
    "keras": (".keras", ".h5"),
    "ncnn": (".bin", ".param"),
    "onnxruntime": (".onnx", ".ort", ".data"),
    "openvino": (".xml", ".bin", ".onnx"),
    "paddle": (".pdmodel", ".pdiparams", ".json"),
    "safetensors": (".safetensors",),
    "tensorflow": (".pb", ".index", ".h5", ".keras", ".tflite"),
    "tflite_runtime": (".tflite",),
    "torch.from_file": (".bin", ".dat"),
    "torch.jit.load": (".pt", ".pth", ".ts", ".torchscript", ".zip"),
    "transformers": (".safetensors", ".bin"),
}
"""What opens files in native code, and the endings of these files."""


def named_files(trees: Iterable[ast.AST], folders: Iterable[Path], function: Any) -> list[str]:
    """Return the absolute paths of files that exist and are named, but probably not to be written.

    An input that is left out is noticed when the function reads it: see `opened_files`.

    Args:
        trees: The function's sources. Their texts count.
        folders: Where to look for relative names.
        function: The texts and paths in its attributes, and in their attributes, count.
    """
    texts = set(_attributes(function))
    for tree in trees:
        texts |= _texts(tree) - _written_texts(tree)
    paths = (_file(folder, text) for text in texts for folder in folders)
    return sorted({path for path in paths if path})


def native_readers(
    imported: Collection[str], trees: Iterable[ast.AST]
) -> dict[str, tuple[str, ...]]:
    """Return what opens files in native code, and the endings of these files.

    Args:
        imported: Qualified names that the sources import.
        trees: The sources.
    """
    used = {*imported, *(name for tree in trees for name in _attribute_chains(tree))}
    return {
        reader: endings
        for reader, endings in _NATIVE_READERS.items()
        if any(name == reader or name.startswith(reader + ".") for name in used)
    }


def files_beside(paths: Iterable[str], endings: Iterable[str]) -> list[str]:
    """Return the files with one of the endings that lie in the same folders."""
    wanted = tuple(endings)
    found: set[str] = set()
    for folder in {os.path.dirname(path) for path in paths}:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found.update(os.path.join(folder, name) for name in names if name.lower().endswith(wanted))
    return sorted(path for path in found if os.path.isfile(path))


def _texts(*nodes: ast.AST) -> set[str]:
    parts = (part for node in nodes for part in ast.walk(node))
    return {p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)}


def _written_texts(tree: ast.AST) -> set[str]:
    """Return the texts in calls that write to a file, such as `open(HERE / "log.txt", "a")`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(node.func, ast.Name):
            name = node.func.id
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        modes = (a.value for a in arguments if isinstance(a, ast.Constant))
        opens = name == "open" and any(_WRITE_MODE.fullmatch(str(mode)) for mode in modes)
        if opens or name in _WRITERS:
            found |= _texts(node.func, *arguments)
    return found


def _file(folder: Path, text: str) -> str | None:
    if not text or len(text) > _MAX_PATH_LENGTH or "\n" in text:
        return None
    if os.path.splitext(text)[1].lower() in _OUTPUT_ENDINGS:
        return None
    try:
        path = os.path.abspath(os.path.join(folder, os.path.expanduser(text)))
        return path if os.path.isfile(path) else None
    except ValueError:  # a null character
        return None


def _attributes(owner: Any, depth: int = 2) -> Iterator[str]:
    values: Mapping[str, Any] = getattr(owner, "__dict__", {})
    for name, value in list(values.items()):
        if isinstance(owner, ModuleType) and name.startswith("__"):
            continue
        if isinstance(value, str):
            yield str(value)
        elif isinstance(value, os.PathLike):
            yield os.fsdecode(value)
        elif isinstance(value, FunctionType):
            yield from _closure(value)
        elif depth > 1 and not isinstance(value, ModuleType | type):
            yield from _attributes(value, depth - 1)


def _closure(function: FunctionType) -> Iterator[str]:
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not filled
            continue
        if isinstance(value, str):
            yield str(value)
        elif isinstance(value, os.PathLike):
            yield os.fsdecode(value)


def _attribute_chains(tree: ast.AST) -> Iterator[str]:
    """Yield texts such as "torch.jit.load" for all attributes that are looked up on names."""
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if names and isinstance(node, ast.Name):
            yield ".".join([node.id, *reversed(names)])
