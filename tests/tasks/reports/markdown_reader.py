"""Parse markdown like a UI, to see what became of untrusted text."""

from __future__ import annotations

from attrs import define, field
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cvat_flows.tasks.model.text import WORD_JOINER, ZERO_WIDTH_SPACE

_READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
# The UIs also show SVG in `data:` addresses.
_READER.validateLink = lambda url: True  # type: ignore[method-assign]


@define
class Page:
    """The content of a page of markdown."""

    tables: list[list[list[str]]] = field(factory=list)
    """Tables as rows of cells, with the text of each cell."""
    links: list[str] = field(factory=list)
    images: list[str] = field(factory=list)
    kinds: set[str] = field(factory=set)
    """Kinds of tokens on the page."""
    code: list[str] = field(factory=list)
    text: str = ""


def read(markdown: str) -> Page:
    page = Page()
    row: list[str] = []
    for token in _READER.parse(markdown):
        page.kinds.add(token.type)
        if token.type == "table_open":
            page.tables.append([])
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            page.tables[-1].append(row)
            row = []
        elif token.type in ("fence", "code_block"):
            page.code.append(token.content)
        elif token.type == "inline":
            text = _inline(token, page)
            page.text += text + "\n"
            row.append(text)
    return page


def _inline(token: Token, page: Page) -> str:
    text = ""
    for child in token.children or ():
        page.kinds.add(child.type)
        if child.type == "image":
            page.images.append(str(child.attrs["src"]))
        elif child.type == "link_open":
            page.links.append(str(child.attrs["href"]))
        elif child.type in ("text", "code_inline", "html_inline", "text_special"):
            text += child.content
    return text.replace(WORD_JOINER, "").replace(ZERO_WIDTH_SPACE, "")
