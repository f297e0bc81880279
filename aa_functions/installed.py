"""Short names of functions: entry points of the group `cvat_flows.functions`.

A package joins with three lines in its pyproject.toml; afterwards `--function cars` finds it:

    [project.entry-points."cvat_flows.functions"]
    cars = "our_models.cars"

The value is the module that is, or creates, the function. Records keep the name of the module, so
that a function can get a short name at any time; people read and write the short one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec

from aa_functions.errors import FunctionReferenceError

GROUP = "cvat_flows.functions"


@cache
def installed_functions() -> Mapping[str, str]:
    """Return the module of each installed function by its short name, in alphabetical order.

    >>> installed_functions()["shapes"]
    'aa_functions.shapes'
    """
    known = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return {entry.name: entry.value for entry in known}


def short_name(name: str) -> str:
    """Return what people call a function: its short name if it has one, else `name`.

    >>> short_name("aa_functions.shapes"), short_name("cars.py@104413cf")
    ('shapes', 'cars.py@104413cf')
    """
    if "@" in name:  # a function from a file
        return name
    return next((short for short, module in installed_functions().items() if module == name), name)


def full_name(name: str) -> str:
    """Return the module of an installed function, or `name` if there is no such function.

    Raises:
        FunctionReferenceError: if a module on Python's path has the same name.

    >>> full_name("shapes"), full_name("our_models.cars")
    ('aa_functions.shapes', 'our_models.cars')
    """
    module = installed_functions().get(name)
    if module is None or module == name:
        return name
    if "." not in name and find_spec(name) is not None:
        raise FunctionReferenceError(
            f"'{name}' is both an installed function ('{module}') and a module on Python's path: "
            f"name '{module}', or the path of your file."
        )
    return module
