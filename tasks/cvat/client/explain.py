"""Explain what a refused request means and what to do, from CVAT's answer or its proxy's."""

from __future__ import annotations

import json
import re

from cvat_flows.tasks.model.text import on_one_line

NO_PERMISSION = "You do not have permission to perform this action."
"""CVAT's words if the user lacks a right. Other answers of 403 have other reasons."""
ASK_FOR_PERMISSION = (
    "assign the task to that user, use an account that has permission, or an access token that is "
    "not read-only"
)
TOO_LARGE = (
    "a proxy in front of CVAT refuses requests of this size (413): raise its limit "
    "(client_max_body_size in nginx)"
)

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(r"<(!doctype|html|\?xml|head|body)", re.IGNORECASE)
_MAX_LENGTH = 300


def describe_body(body: bytes) -> str:
    """Describe the body of an answer in a few words: `a web page ("Sign in")`, or its text."""
    text = body.decode("utf-8", "replace").strip()
    if not text:
        return "an empty answer"
    if not _PAGE.match(text):
        return on_one_line(text, _MAX_LENGTH)
    import html  # Its table of names is large, and needed for an error only.

    title = _TITLE.search(text)
    name = on_one_line(html.unescape(title[1]), 80) if title else ""
    return f'a web page ("{name}")' if name else "a web page"


def explain_refusal(status: int, body: bytes, *, user: str = "the CVAT user of this run") -> str:
    """Return why a request was refused and what to do, as the end of a sentence."""
    if status == 401:
        return "CVAT no longer accepts the credentials; log in again"
    if status == 403:
        return _explain_403(body, user)
    if status == 413:
        return TOO_LARGE
    return f"CVAT answered {status}: {describe_body(body)}"


def _explain_403(body: bytes, user: str) -> str:
    detail = detail_of(body)
    if detail is None:
        return (
            f"a server in front of CVAT forbids this request (403, {describe_body(body)}): ask its "
            "administrator"
        )
    if detail == NO_PERMISSION:
        return f"{user} has no permission for it; {ASK_FOR_PERMISSION}"
    if "CSRF" in detail:
        return (
            f"CVAT rejects the origin of the request ({detail}): use an access token "
            "(CVAT_ACCESS_TOKEN), or have the proxy in front of CVAT pass on the headers Host, "
            "Origin and X-Forwarded-Proto"
        )
    if "organization" in detail.lower():
        return f"CVAT forbids it ({detail}): check --organization, or leave it out"
    return f"CVAT forbids it ({detail})"


def detail_of(body: bytes) -> str | None:
    """Return CVAT's text about a refusal; None if the answer is not CVAT's."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if isinstance(content, dict):
        content = content.get("detail", content)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return on_one_line(text, _MAX_LENGTH)
