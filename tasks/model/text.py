"""Text from outside (names of frames and labels, errors) on its way into sentences, markdown, XML.

Nothing in it may end a table cell, start markup, become a link or hide other text. What both of
Prefect's UIs make of it was tried in a browser: V1 shows HTML entities as they are written, V2
turns addresses into links even where they are escaped. So markup is escaped with backslashes, and
addresses are broken by a word joiner, which nobody sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

ELLIPSIS = "…"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
WORD_JOINER = "\N{WORD JOINER}"
MAY_BREAK = "\N{ZERO WIDTH SPACE}"
LONGEST_WORD = 32
"""Characters after which a line may break: a long word would make a table wider than its page."""

_SPACE = re.compile(r"\s+")
_NOT_SHOWN = re.compile(r"[\ud800-\udfff\ufffe\uffff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Lone surrogates cannot be stored, non-characters are not XML; marks that change the direction of
writing hide what a name is (`gpj.exe`)."""
_MARKUP = re.compile(r"""([\\`*_{}\[\]()#+!|<>~&$"'^-])""")
_ADDRESS = re.compile(r"(?i)\b(?:https?|ftp)(?=:)|\bwww(?=\.)|(?=@)")
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)")
_FENCES = re.compile(r"`+")
_LINES = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def on_one_line(text: str, most: int | None = None) -> str:
    """The text on one line, with nothing in it that cannot be seen; cut at the end."""
    shown = "".join(
        REPLACEMENT if unicodedata.category(character) == "Cc" else character
        for character in _SPACE.sub(" ", text).strip()
    )
    shown = _NOT_SHOWN.sub(REPLACEMENT, shown)
    if most is not None and len(shown) > most:
        shown = shown[: most - 1] + ELLIPSIS
    return shown


def file_name(text: str, most: int = 40) -> str:
    """A file name on one line, cut in the middle: its beginning and its end tell names apart."""
    shown = on_one_line(text)
    if len(shown) <= most:
        return shown
    begin = (most - 1) // 2
    return shown[:begin] + ELLIPSIS + shown[len(shown) - (most - 1 - begin) :]


def in_markdown(text: str, most: int | None = None) -> str:
    """The text as a piece of a line of markdown that shows it literally, also in a table cell."""
    shown = _LONG_WORD.sub(rf"\g<0>{MAY_BREAK}", on_one_line(text, most))
    return _MARKUP.sub(r"\\\1", _ADDRESS.sub(rf"\g<0>{WORD_JOINER}", shown))


def code_block(text: str, most: int = 6000) -> str:
    """The text as a fenced block of markdown; what is too long loses its middle."""
    lines = _NOT_SHOWN.sub(REPLACEMENT, _LINES.sub("\n", text)).strip("\n")
    shown = "".join(
        REPLACEMENT if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in lines
    )
    if len(shown) > most:
        half = most // 2
        shown = f"{shown[:half]}\n{ELLIPSIS}\n{shown[-half:]}"
    longest = max((len(run) for run in _FENCES.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table. Its cells are markdown already: see `in_markdown`."""
    lines = [f"| {' | '.join(row)} |" for row in (heading, *rows)]
    return "\n".join([lines[0], "|---" * len(heading) + "|", *lines[1:]])


def in_xml(text: str, most: int | None = None) -> str:
    """The text as content, or as the value of an attribute, of HTML or SVG."""
    return escape(on_one_line(text, most), {'"': "&quot;", "'": "&#39;"})


def slug(text: str) -> str:
    """Lower-case letters, digits and single dashes: what a key or a path may consist of."""
    cut = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return cut or "unnamed"


def host_slug(address: str) -> str:
    """A server's address as a part of a key: `https://cvat.example.com` is `cvat-example-com`."""
    return slug(urlsplit(address).netloc or address)


def link(text: str, address: str | None) -> str:
    """A markdown link on words of ours; the bare words without an address.

    Text from outside belongs beside a link: in it V1 shows the backslashes of what is escaped. The
    address is ours, too; what would end it is encoded all the same.
    """
    if not address:
        return text
    safe = re.sub(r"[^\w\-.~:/?#@!$&'*+,;=%]", _percent, address)
    return f"[{text}]({safe})"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "replace"))
