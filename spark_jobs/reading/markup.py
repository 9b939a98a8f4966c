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

PROSE = 150
"""Bytes of a paragraph."""

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
_CONSENT = frozenset(("cookie", "cookies", "consent", "gdpr", "breadcrumb", "breadcrumbs"))
_SIDE_NAMES = frozenset(
    ("nav", "navbar", "navigation", "topnav", "menu", "footer", "foot", "sidebar", "copyright",
     "share", "sharing", "social", "related", "recommend", "recommended", "widget", "toolbar",
     "pagination", "pager", "subscribe", "newsletter", "popup", "modal", "login", "signin",
     "banner", "ads", "advert", "hot", "ranking", "qr")
) | _CONSENT  # fmt: skip
_FRAMES = frozenset(("div", "section", "header", "form", "ul", "ol", "table", "center"))
"""Elements that hold parts of a page, and whose end tag can't be left out."""
_CELL = "\0"
"""Stands for the border of two cells: the text itself has no zero byte."""

_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*+)")
_REST = re.compile(r"""(?>[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|))*+>""")
_ATTRIBUTE = re.compile(
    r"""([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?"""
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
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
    """Whether HTML says that it stands around the text (navigation, consent, footer)."""
    named: bool = False
    """Whether a class or id says so, which is often meant in another way."""
    main: bool = False
    """Whether HTML says that it is the text."""


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


def _is_around(name: str, attributes: dict[str, str]) -> bool:
    return name in _NAMED or (
        name in _FRAMES
        and (
            _role(attributes) in _LANDMARKS
            or "hidden" in attributes
            or "display:none" in attributes.get("style", "").lower().replace(" ", "")
            or not _CONSENT.isdisjoint(_words(attributes))
        )
    )


def _is_named(name: str, attributes: dict[str, str]) -> bool:
    return name in _FRAMES and not _SIDE_NAMES.isdisjoint(_words(attributes))


def _is_main(name: str, attributes: dict[str, str]) -> bool:
    return name in ("main", "article") or _role(attributes) in ("main", "article")


def _role(attributes: dict[str, str]) -> str:
    return (attributes.get("role", "").lower().split() or [""])[0]


def _is_prose(blocks: list[Block]) -> bool:
    """Whether most of a part of a page is paragraphs, which navigation and teasers hardly have."""
    sizes = [(len(block.text.encode()), block) for block in blocks]
    long = sum(size for size, b in sizes if size >= PROSE and b.links < 0.3 * solid(b.text))
    return 2 * long > sum(size for size, _ in sizes)


def _words(attributes: dict[str, str]) -> set[str]:
    """The words of class and id: `siteFooter wp-nav_bar` has site, footer, wp, nav and bar."""
    given = f"{attributes.get('id', '')} {attributes.get('class', '')}"[:1000]
    return {word.lower() for word in _WORD.findall(given)}


@dataclass(slots=True)
class _Region:
    """An element that is looked for, while it is open."""

    name: str
    at: int
    since: int
    """Number of blocks before it."""
    depth: int = 1
    """How many elements of its name are open."""


_KINDS = {"around": _is_around, "named": _is_named, "main": _is_main}
_SAYING = _NAMED | {"main", "article"}


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
        self.regions: dict[str, _Region] = {}
        """The outermost elements of each kind that are open."""
        self.endless: set[str] = set()
        """Elements that have no end after here."""

    def read(self) -> Page:
        at = 0
        while at >= 0:
            tag = self.markup.find("<", at)
            self.text(self.markup[at:tag] if tag >= 0 else self.markup[at:])
            at = self.tag(tag) if tag >= 0 else -1
        self.flush()
        for kind, region in self.regions.items():
            if kind != "main":  # it has no end: what follows can't be separated from it
                for block in self.page.blocks[region.since :]:
                    setattr(block, kind, False)
        return self.page

    def text(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self.links += solid(text) if self.in_link else 0

    def flush(self) -> None:
        """End a block."""
        if not self.parts:
            return
        text = html.unescape("".join(self.parts))
        if self.verbatim:
            text = "\n".join(line.rstrip() for line in _LINE_END.split(text)).strip("\n")
        else:
            cells = (_SPACE.sub(" ", cell).strip() for cell in text.split(_CELL))
            text = "\t".join(cells).strip("\t")
        if text.strip():
            links = min(self.links, solid(text))
            around, named, main = (self.regions.get(kind) is not None for kind in _KINDS)
            self.page.blocks.append(Block(text, links, around, named, main))
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
        self.open(name[1].lower(), given, at)
        return self.start(name[1].lower(), given, rest.end())

    def start(self, name: str, given: str, at: int) -> int:
        """Take in a start tag that ends at `at`; returns where to read on."""
        if name in _CONTENTS and not (name in ("svg", "math") and given.endswith("/")):
            return self.content(name, at)
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
        self.close(name, after)

    def open(self, name: str, given: str, at: int) -> None:
        """Take note of an element that says what its text is."""
        for region in self.regions.values():
            region.depth += region.name == name
        if len(self.regions) == len(_KINDS) or not (name in _SAYING or (name in _FRAMES and given)):
            return
        attributes = _attributes(given)
        for kind, is_one in _KINDS.items():
            if kind not in self.regions and is_one(name, attributes):
                self.flush()
                self.regions[kind] = _Region(name, at, len(self.page.blocks))

    def close(self, name: str, after: int) -> None:
        """Take note of the end tag of an element."""
        for kind, region in list(self.regions.items()):
            region.depth -= region.name == name
            if not region.depth:
                self.flush()
                del self.regions[kind]
                if kind == "around":
                    self.page.around.append((region.at, after))
                elif kind == "named" and _is_prose(inside := self.page.blocks[region.since :]):
                    for block in inside:
                        block.named = False

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
