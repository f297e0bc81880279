"""Make untrusted text (names of frames and labels, errors) safe to store, on one line, in markdown,
in XML and on a terminal.

Every function that takes text from outside masks the credentials in it before it cuts the text.

Untrusted text must not end a table cell, add markup, become a link or hide other text. Prefect's
two UIs render markdown differently: V1 shows HTML entities literally, and V2 turns addresses into
links even if they are escaped. So markup is escaped with backslashes, and addresses are broken by
an invisible word joiner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from cvat_flows.tasks.model.credentials import mask

ELLIPSIS = "…"
REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
WORD_JOINER = "\N{WORD JOINER}"
ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"
MAX_UNBROKEN_LENGTH = 32
"""Characters of a word after which a line may break. Without a break, a long word makes a table
wider than its page."""

_WHITESPACE = re.compile(r"\s+")
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\ud800-\udfff\ufffe\uffff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Terminals obey control characters. Lone surrogates cannot be stored. Non-characters are not XML.
Marks that change the direction of writing can disguise a name (`gpj.exe`)."""
_MARKUP = re.compile(r"""([\\`*_{}\[\]()#+!|<>~&$"'^-])""")
_LINK_START = re.compile(r"(?i)\b(?:https?|ftp)(?=:)|\bwww(?=\.)|(?=@)")
_UNBROKEN = re.compile(rf"\S{{{MAX_UNBROKEN_LENGTH}}}(?=\S)")
_XML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_BACKTICKS = re.compile(r"`+")
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in singular or plural: "1 frame", "1,200 frames"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def clean(text: str) -> str:
    """Mask credentials and replace control and invisible characters, except for line breaks."""
    return _UNPRINTABLE.sub(REPLACEMENT_CHARACTER, _LINE_BREAKS.sub("\n", mask(text)))


def on_one_line(text: str, max_length: int | None = None) -> str:
    """Put the text on one line, replace invisible characters, and cut it at the end."""
    text = _UNPRINTABLE.sub(REPLACEMENT_CHARACTER, _WHITESPACE.sub(" ", mask(text)).strip())
    if max_length is not None and len(text) > max_length:
        text = text[: max_length - 1] + ELLIPSIS
    return text


def shorten_name(text: str, max_length: int = 40) -> str:
    """Put a name on one line and cut it in the middle: its start and end tell names apart."""
    text = on_one_line(text)
    if len(text) <= max_length:
        return text
    head = (max_length - 1) // 2
    tail = max_length - 1 - head
    return text[:head] + ELLIPSIS + text[len(text) - tail :]


def escape_markdown(text: str, max_length: int | None = None) -> str:
    """Escape the text so that a line of markdown, or a table cell, shows it literally."""
    text = _UNBROKEN.sub(rf"\g<0>{ZERO_WIDTH_SPACE}", on_one_line(text, max_length))
    return _MARKUP.sub(r"\\\1", _LINK_START.sub(rf"\g<0>{WORD_JOINER}", text))


def code_block(text: str, max_length: int = 6000) -> str:
    """Make a fenced markdown block of the text. If it is too long, its middle is cut out."""
    text = clean(text).strip("\n")
    if len(text) > max_length:
        half = max_length // 2
        text = f"{text[:half]}\n{ELLIPSIS}\n{text[-half:]}"
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a markdown table. The cells must be markdown already: see `escape_markdown`."""
    lines = [f"| {' | '.join(row)} |" for row in (heading, *rows)]
    return "\n".join([lines[0], "|---" * len(heading) + "|", *lines[1:]])


def escape_xml(text: str, max_length: int | None = None) -> str:
    """Escape the text as content or attribute value of HTML or SVG."""
    return on_one_line(text, max_length).translate(_XML_ESCAPES)


def slug(text: str) -> str:
    """Reduce the text to lower-case letters, digits and single dashes, for a key or a path."""
    cut = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return cut or "unnamed"


def host_slug(address: str) -> str:
    """Make a slug of a server's address: `https://cvat.example.com` gives `cvat-example-com`."""
    return slug(urlsplit(address).netloc or address)


def link(text: str, address: str | None) -> str:
    """Make a markdown link; without an address, return the text alone.

    `text` must be trusted: inside a link, V1 shows the backslashes of escaped text. Characters
    that could end the address are percent-encoded.
    """
    if not address:
        return text
    safe = re.sub(r"[^\w\-.~:/?#@!$&'*+,;=%]", _percent_encode, address)
    return f"[{text}]({safe})"


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "replace"))
