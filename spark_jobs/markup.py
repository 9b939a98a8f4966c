"""The visible text of an HTML page, block by block, in one pass over its markup.

The tokens are those of the HTML standard (https://html.spec.whatwg.org, "tokenization"); no tree is
built. Every step moves forward and looks at a character a bounded number of times, so that no page
takes more than linear time, whatever stands in it, and there is nothing that nesting could exhaust.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

MAX_TAGS = 400_000
"""Tags and comments of a page that are looked at; the rest is left out and counted as a repair."""

_OPAQUE = frozenset(
    ("script", "style", "noscript", "template", "svg", "math", "iframe", "noembed", "noframes",
     "object", "canvas", "audio", "video", "title", "datalist")
)  # fmt: skip
"""Elements whose content is no text of the page."""
_RAW = frozenset(("script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp"))
"""Elements in which a tag is text; without an end they last until the end of the page."""
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "dd",
     "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
     "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "label",
     "legend", "li", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p", "pre",
     "search", "section", "select", "summary", "table", "tbody", "textarea", "tfoot", "thead",
     "tr", "ul")
)  # fmt: skip
_CELLS = frozenset(("td", "th"))
_VERBATIM = frozenset(("pre", "textarea", "listing", "xmp"))
_CONTENTS = _OPAQUE | _RAW
_NAMED = frozenset(("nav", "footer", "aside", "dialog"))
"""Elements that HTML itself has for what stands around the text."""
_LANDMARKS = frozenset(
    ("navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog",
     "menu", "menubar", "toolbar")
)  # fmt: skip
_CONSENT = re.compile(r"(?<![a-z])(?:cookies?|consent|gdpr|breadcrumbs?)(?![a-z])", re.I)
_FRAMES = frozenset(("div", "section", "header", "form", "ul", "ol", "table", "center"))
"""Elements that hold parts of a page, and whose end tag can't be left out."""
_CELL = "\0"
"""Stands for the border of two cells: the text itself has no zero byte."""

_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
_REST = re.compile(r"""(?>[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|))*+>""")
_ATTRIBUTE = re.compile(
    r"""([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?"""
)
_SPACE = re.compile(r"\s+")
_LINE_END = re.compile(r"\r\n?|\n")
_TAG_NAME_END = frozenset(("", " ", "\t", "\n", "\f", "\r", "/", ">"))


@dataclass(slots=True)
class Block:
    """A paragraph, list item, row of a table or the like."""

    text: str
    links: int
    """Number of its characters in links, spaces not counted."""
    around: bool
    """Whether its element says that it stands around the text (navigation, consent, footer)."""


@dataclass
class Page:
    """The blocks of a page in their order, and what its markup is like."""

    blocks: list[Block] = field(default_factory=list)
    title: str = ""
    tags: int = 0
    attributes: int = 0
    """Largest number of attributes of a tag."""
    cut: bool = False
    """Whether the page has more tags than are looked at."""
    verbatim: list[tuple[int, int]] = field(default_factory=list)
    """Where in the markup the contents of preformatted elements begin and end."""
    around: list[tuple[int, int]] = field(default_factory=list)
    """Where in the markup elements begin and end that stand around the text."""


def solid(text: str) -> int:
    """Number of characters that are no space."""
    return sum(map(len, text.split()))


def _attributes(given: str) -> dict[str, str]:
    """The attributes of a tag by name, the first of a name as the standard says."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(given):
        found.setdefault(match[1].lower(), match[2] or match[3] or match[4] or "")
    return found


def _is_around(name: str, given: str) -> bool:
    if name in _NAMED:
        return True
    if name not in _FRAMES or not given.strip():
        return False
    attributes = _attributes(given)
    roles = attributes.get("role", "").lower().split()
    return (
        bool(_LANDMARKS.intersection(roles[:1]))
        or "hidden" in attributes
        or "display:none" in attributes.get("style", "").lower().replace(" ", "")
        or bool(_CONSENT.search(f"{attributes.get('id', '')} {attributes.get('class', '')}"))
    )


class _Reader:
    """Goes through the markup of a page once."""

    def __init__(self, markup: str) -> None:
        self.markup = markup.replace("\0", "")
        self.page = Page()
        self.parts: list[str] = []
        self.links = 0
        self.in_link = False
        self.verbatim = False
        self.began = 0
        """Where the preformatted element began that this is in, if any."""
        self.around = ""
        """Name of the element around the text that this is in, if any."""
        self.depth = 0
        """How many elements of that name are open."""
        self.since = 0
        """Number of blocks before it."""
        self.around_at = 0
        """Where it began."""
        self.endless: set[str] = set()
        """Elements that have no end after here."""

    def read(self) -> Page:
        at = 0
        while at >= 0:
            tag = self.markup.find("<", at)
            self.text(self.markup[at:tag] if tag >= 0 else self.markup[at:])
            at = self.tag(tag) if tag >= 0 else -1
        self.flush()
        if self.around:  # it has no end, so that what came after it can't be told from it
            for block in self.page.blocks[self.since :]:
                block.around = False
        return self.page

    def text(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self.links += solid(text) if self.in_link else 0

    def flush(self) -> None:
        """End a block."""
        text = html.unescape("".join(self.parts))
        if self.verbatim:
            text = "\n".join(line.rstrip() for line in _LINE_END.split(text)).strip("\n")
        else:
            cells = (_SPACE.sub(" ", cell).strip() for cell in text.split(_CELL))
            text = "\t".join(cells).strip("\t")
        if text.strip():
            links = min(self.links, solid(text))
            self.page.blocks.append(Block(text, links, bool(self.around)))
        self.parts.clear()
        self.links = 0

    def tag(self, at: int) -> int:
        """Read the tag or comment at `at`; returns where it ends, -1 where nothing comes after."""
        self.page.tags += 1
        if self.page.tags > MAX_TAGS:
            self.page.cut = True
            return -1
        if self.markup.startswith("<!--", at):
            return _after(self.markup, "-->", at + 2)
        name = _NAME.match(self.markup, at)
        if name is None:
            if self.markup[at + 1 : at + 2] in ("!", "/", "?"):
                return _after(self.markup, ">", at)
            self.text("<")
            return at + 1
        rest = _REST.match(self.markup, name.end())
        if rest is None:
            return -1
        given = self.markup[name.end() : rest.end() - 1]
        if len(given) > 2 * self.page.attributes:
            self.page.attributes = max(self.page.attributes, len(_ATTRIBUTE.findall(given)))
        if self.markup[at + 1] == "/":
            self.end(name[1].lower(), at, rest.end())
            return rest.end()
        if not self.around and _is_around(name[1].lower(), given):
            self.flush()
            self.around, self.depth, self.since = name[1].lower(), 0, len(self.page.blocks)
            self.around_at = at
        return self.start(name[1].lower(), given, rest.end())

    def start(self, name: str, given: str, at: int) -> int:
        """Take in a start tag that ends at `at`; returns where to read on."""
        if name in _CONTENTS and not (name in ("svg", "math") and given.endswith("/")):
            return self.content(name, at)
        self.depth += name == self.around
        if name == "a":
            self.in_link = "href" in given.lower()
        elif name in _CELLS and self.parts:
            self.parts.append(_CELL)
        elif name == "br" and self.verbatim:
            self.parts.append("\n")
        elif name in _BLOCKS:
            self.flush()
            if name in _VERBATIM and not self.verbatim:
                self.verbatim, self.began = True, at
        return at

    def end(self, name: str, at: int, after: int) -> None:
        """Take in an end tag."""
        if name == "a":
            self.in_link = False
        elif name in _BLOCKS:
            self.flush()
            if name in _VERBATIM and self.verbatim:
                self.verbatim = False
                self.page.verbatim.append((self.began, at))
        if name == self.around:
            self.depth -= 1
            if not self.depth:
                self.flush()
                self.around = ""
                self.page.around.append((self.around_at, after))

    def content(self, name: str, at: int) -> int:
        """Pass over an element whose content is no markup, or none of the page's text."""
        end = -1 if name in self.endless else _end_tag(self.markup, name, at)
        if end < 0:
            self.endless.add(name)
            return -1 if name in _RAW else at
        if name == "title":
            self.page.title = self.page.title or " ".join(
                html.unescape(self.markup[at:end]).split()
            )
        elif name in _VERBATIM:
            self.flush()
            self.verbatim = True
            self.text(self.markup[at:end])
            self.flush()
            self.verbatim = False
        return end


def _after(markup: str, mark: str, at: int) -> int:
    """Where the text after the next `mark` begins, -1 where there is none."""
    found = markup.find(mark, at)
    return found + len(mark) if found >= 0 else -1


def _end_tag(markup: str, name: str, at: int) -> int:
    """Where the next end tag of an element begins, -1 where there is none."""
    while (at := markup.find("</", at)) >= 0:
        stop = at + 2 + len(name)
        if markup[at + 2 : stop].lower() == name and markup[stop : stop + 1] in _TAG_NAME_END:
            return at
        at += 2
    return -1


def read(markup: str) -> Page:
    """The blocks of an HTML page and what its markup is like."""
    return _Reader(markup).read()


def is_block(name: str) -> bool:
    """Whether an element of this name is a block, or ends a line."""
    return name in _BLOCKS


def visible_text(markup: str) -> str:
    """All the text of an HTML page that a browser shows, a line per block."""
    return "\n".join(block.text for block in read(markup).blocks)
