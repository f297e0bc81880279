"""Lists as in CVAT: query parameters, search, JSON-logic filter, sorting and pages."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from cvat_flows.deployments.sandbox.answers import Refusal
from cvat_flows.deployments.sandbox.calls import Call
from cvat_flows.deployments.sandbox.store import Row

TERMS = {
    "project": "id name updated_date",
    "task": "id project_id project_name name owner assignee status subset mode dimension "
    "tracker_link validation_mode updated_date",
    "job": "id task_id project_id task_name mode assignee state stage type dimension updated_date",
    "label": "id name",
    "issue": "id job_id frame_id resolved owner assignee",
    "comment": "id issue_id owner",
    "webhook": "id project_id target_url",
    "request": "status",
    "quality_report": "id task_id",
    "quality_settings": "id task_id",
}
"""The terms that each kind of list can be filtered and sorted by."""
FIELDS = {"tracker_link": "bug_tracker", "job_id": "job", "frame_id": "frame", "issue_id": "issue"}
"""The field of a term, where their names differ."""
NOT_PARAMETERS = {"id", "updated_date"}
"""Terms that CVAT ignores as query parameters, as it ignores unknown parameters."""
SEARCHED = ("name", "project_name", "task_name", "owner", "assignee", "subset", "target_url")
COMPARE = {
    "==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
Predicate = Callable[[Row], bool]


def _value(shown: Row, term: str) -> Any:
    """Return the value of a term in a row that is JSON already."""
    found = shown.get(FIELDS.get(term, term))
    if isinstance(found, dict):  # an owner or assignee
        return found["username"]
    return datetime.fromisoformat(str(found)) if term == "updated_date" else found


def _convert(term: str, given: Any) -> Any:
    """Convert a value of a request to the type of a term. Raises ValueError or TypeError."""
    if term == "id" or term.endswith("_id"):
        return int(given)
    if term == "resolved":
        return str(given).lower() in ("true", "1")
    return datetime.fromisoformat(given) if term == "updated_date" else str(given)


def list_page(call: Call, kind: str, rows: list[Row], *, oldest_first: bool = False) -> Row:
    """Return the page of the rows that the query asks for, newest first by default."""
    shown, terms = [call.as_json(kind, row) for row in rows], TERMS.get(kind, "").split()
    for term in set(terms) & call.query.keys() - NOT_PARAMETERS:
        try:
            given = _convert(term, call.query[term])
        except ValueError:
            raise Refusal(400, {term: ["Enter a valid value."]}) from None
        shown = [row for row in shown if _value(row, term) == given]
    for word in call.query.get("search", "").lower().split():
        texts = [term for term in terms if term in SEARCHED]
        shown = [row for row in shown if any(word in str(_value(row, t)).lower() for t in texts)]
    if text := call.query.get("filter"):
        try:
            keep = _predicate(text, terms)
        except (TypeError, ValueError):
            status = 500 if call.sandbox.quirks else 400
            raise Refusal(status, ["filter: a value of the wrong type"]) from None
        shown = [row for row in shown if keep(row)]
    shown = shown if oldest_first else shown[::-1]
    for name in reversed(call.query.get("sort", "").split(",")):
        if (term := name.strip().lstrip("-")) in terms:
            keys = {id(row): (_value(row, term) is not None, _value(row, term)) for row in shown}
            shown.sort(key=lambda row: keys[id(row)], reverse=name.strip().startswith("-"))
    return _page(call, shown)


def _page(call: Call, rows: list[Row]) -> Row:
    text, page = call.query.get("page_size", ""), call.query.get("page", "1")
    size = int(text) if text.isdecimal() and int(text) else 10
    size = max(len(rows), 1) if text == "all" else size
    number, last = int(page) if page.isdecimal() else 0, max(-(-len(rows) // size), 1)
    if not 1 <= number <= last:
        raise Refusal(404, {"detail": "Invalid page."})

    def link(to: int) -> str | None:
        query = urlencode({**call.query, "page": to})
        return f"{call.base}{call.path}?{query}" if 1 <= to <= last else None

    links = {"next": link(number + 1), "previous": link(number - 1)}
    return {"count": len(rows), **links, "results": rows[(number - 1) * size : number * size]}


def _predicate(text: str, terms: list[str]) -> Predicate:
    """Return a filter as a function.

    Raises:
        Refusal: if the filter is malformed.
        ValueError, TypeError: if a value in it has the wrong type.
    """
    try:
        rule = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _bad_filter(f"filter: can't parse filter expression '{text}'") from None
    if not rule:
        raise _bad_filter("filter shouldn't be empty")
    return _compile(rule, terms)


def _bad_filter(text: str) -> Refusal:
    return Refusal(400, [text])


def _compile(rule: Any, terms: list[str]) -> Predicate:
    def supported(term: str) -> str:
        if term not in terms:
            raise _bad_filter(f"filter: term '{term}' is not supported")
        return term

    match rule:
        case {"and": [*parts]} | {"or": [*parts]} if parts:
            predicates = [_compile(part, terms) for part in parts]
            combine = all if "and" in rule else any
            return lambda row: combine(part(row) for part in predicates)
        case {"and": _} | {"or": _}:
            raise _bad_filter("filter: expected a non-empty list value")
        case {"!": [inner]} | {"!": inner}:
            negated = _compile(inner, terms)
            return lambda row: not negated(row)
        case {"var": term}:
            supported(term)
            return lambda row: _value(row, term) not in (None, "")
        case {"<=": [low, {"var": term}, high]}:
            bounds = [{">=": [{"var": term}, low]}, {"<=": [{"var": term}, high]}]
            return _compile({"and": bounds}, terms)
        case {"in": [{"var": term}, [*choices]]}:
            among = {_convert(supported(term), choice) for choice in choices}
            return lambda row: _value(row, term) in among
        case {"in": [part, {"var": term}]}:
            supported(term)
            return lambda row: str(part) in str(_value(row, term) or "")
    [(name, given)] = rule.items()
    match given:
        case [{"var": term}, other] if name in COMPARE:
            compare, right = COMPARE[name], _convert(supported(term), other)
            return lambda row: (left := _value(row, term)) is not None and compare(left, right)
    raise _bad_filter(f"filter: operation '{name}' with arguments {given!r} is not implemented")
