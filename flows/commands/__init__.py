"""The commands of `cvat-flows` that run flows or show their results, one module each.

The entry points of the group `cvat_flows.commands` (pyproject.toml) name the commands, so a command
can also be in another package.
"""
