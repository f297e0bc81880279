"""The labels of a function, of a task that fits it, and of one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import SpecMismatch
from cvat_flows.tasks.model.labels import Attribute, Label

KIND = Attribute(id=1, name="kind", input_type="select", values=("small", "large"))
AGE = Attribute(id=2, name="age", input_type="number", values=("0", "10", "1"))
SEEN = Attribute(id=3, name="seen", input_type="checkbox")
NOTE = Attribute(id=4, name="note", input_type="text")
HEAD = Label(id=1, name="head", type="points")
TAIL = Label(id=2, name="tail", type="points")
CAR = Label(id=1, name="car", attributes=(KIND, AGE, SEEN, NOTE))
CAT = Label(id=2, name="cat", type="skeleton", sublabels=(HEAD, TAIL))
FUNCTION = (CAR, CAT, Label(id=3, name="bus", type="mask"))


def attribute(id_: int, name: str, input_type: str, *values: str) -> Attribute:
    return Attribute(id=id_, name=name, input_type=input_type, values=values)


TASK = (
    Label(
        id=101,
        name="car",
        attributes=(
            attribute(201, "kind", "select", "large", "small"),
            attribute(202, "age", "number", "0", "10", "1"),
            attribute(203, "seen", "checkbox", "false"),
            attribute(204, "note", "text", ""),
        ),
    ),
    Label(
        id=102,
        name="cat",
        type="skeleton",
        sublabels=(
            Label(id=111, name="head", type="points"),
            Label(id=112, name="tail", type="points"),
        ),
    ),
    Label(id=103, name="bus", type="mask"),
)
OTHER_TASK = (
    Label(
        id=101,
        name="Vehicle",
        attributes=(
            attribute(201, "size", "select", "S", "L"),
            attribute(202, "age", "number", "0", "99", "1"),
        ),
    ),
    Label(id=102, name="cat", type="skeleton", sublabels=(Label(id=111, name="Head"),)),
    Label(id=103, name="bus", type="polygon"),
)


def mismatch_of(*args: Any, **kwargs: Any) -> SpecMismatch:
    with pytest.raises(SpecMismatch) as caught:
        match_spec(*args, **kwargs)
    return caught.value
