"""Commands of `cvat-flows` about what the flows do, one module each.

They are found by the entry points of group `cvat_flows.commands` (pyproject.toml), so that a
command may live in a package that the flows know nothing of.
"""
