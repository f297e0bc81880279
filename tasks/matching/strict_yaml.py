"""YAML that refuses a key given twice: plain YAML takes the last one silently."""

from __future__ import annotations

from typing import Any

import yaml


class RepeatedKey(yaml.YAMLError):
    """A mapping has the same key twice."""


class _Loader(yaml.SafeLoader):
    """Refuses repeated keys."""


def load_yaml(text: str) -> Any:
    """Read one YAML document. Raises yaml.YAMLError (RepeatedKey names the key and the line)."""
    return yaml.load(text, Loader=_Loader)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str | int | float | bool | None):
            if key in seen:
                line = key_node.start_mark.line + 1
                raise RepeatedKey(f"{key!r} is given twice, again on line {line}")
            seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)
