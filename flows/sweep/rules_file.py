"""Read the rules of a sweep from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.sweep.rule_errors import describe_errors, nearest
from cvat_flows.flows.sweep.rules import NOT_IN_OPTIONS, RulesError, SweepRule
from cvat_flows.tasks.matching.strict_yaml import load_yaml


def read_rules(path: Path) -> list[SweepRule]:
    """Read rules from a YAML file: a list, or a mapping with a list `rules`. Raises RulesError."""
    try:
        content = load_yaml(path.read_text())
    except OSError as error:
        raise RulesError(f"the rules file {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RulesError(f"the rules file {path} is not YAML: {error}") from error
    rows = content.get("rules") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows:
        names = map(str, content) if isinstance(content, dict) else ()
        other = next((f"; it has {name!r}{hint}" for name in names if (hint := _near(name))), "")
        raise RulesError(f"the rules file {path} has no list 'rules'{other}")
    return [_rule(path, number, row) for number, row in enumerate(rows, 1)]


def _near(name: str) -> str:
    """Return a hint if the name is nearly `rules`."""
    return "" if name == "rules" else nearest(name, ["rules"])


def _rule(path: Path, number: int, row: Any) -> SweepRule:
    try:
        return SweepRule.model_validate(row)
    except ValidationError as error:
        name = row.get("name") if isinstance(row, dict) else None
        where = f"rule {number}" + (f" ({name})" if name else "")
        problems = describe_errors(
            row,
            error.errors(),
            keys=SweepRule.model_fields,
            options=AnnotateTaskParameters.model_fields.keys() - NOT_IN_OPTIONS,
        )
        raise RulesError(f"{where} of {path}: {problems}") from None
