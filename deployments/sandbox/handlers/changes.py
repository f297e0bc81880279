"""Change the fields of a row."""

from __future__ import annotations

from cvat_flows.deployments.sandbox.store import Row


def apply_changes(row: Row, fields: Row, *names: str) -> Row:
    """Set the named fields of a row that are given; return the old values of those that changed.

    A field may be given as `owner_id` or as `owner`.
    """
    given = {name: fields.get(f"{name}_id", fields.get(name, row[name])) for name in names}
    before = {name: row[name] for name in names if row[name] != given[name]}
    row |= given
    return before
