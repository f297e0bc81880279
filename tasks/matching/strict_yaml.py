"""Load YAML and reject repeated keys. PyYAML silently keeps the last one."""

from __future__ import annotations

from typing import Any

import yaml


class RepeatedKey(yaml.YAMLError):
    """A mapping has the same key twice."""


class _Loader(yaml.SafeLoader):
    """A loader that rejects repeated keys."""


def load_yaml(text: str) -> Any:
    """Load one YAML document.

    Raises RepeatedKey, which names the key and its line, or another yaml.YAMLError.
    """
    return yaml.load(text, Loader=_Loader)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str | int | float | bool | None):
            if key in seen:
                line = key_node.start_mark.line + 1
                raise RepeatedKey(f"{key!r} is given twice, again on line {line}")
            seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
