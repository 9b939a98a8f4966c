"""The main text of an HTML page, without navigation, footers and consent banners.

trafilatura finds it: of the kept libraries it loses least and keeps least of what stands around the
text (docs/benchmarks.md has the measurement). It works on a tree, with heuristics for articles, so
it sees only pages within bounds that keep its time small, and its result is taken only where it
holds enough of the text that `markup` sees. Else that text is the result, and so it is for pages
too short for the library and for those that are nearly all text. The bounds are sizes, not seconds:
a page gives the same text on every machine.
"""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.spark_jobs.reading import markup

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_CHARACTERS = 4 << 20
"""Markup of a page that is read; the rest is left out and counted as a repair."""
TREE_CHARACTERS = 2 << 20
TREE_TAGS = 20_000
TREE_ATTRIBUTES = 200
TREE_DEPTH = 150
"""Pages beyond these aren't given to the library: some of its steps take quadratic time."""
SHORT = 1000
"""Bytes of text below which a page holds too little for the library, which falls back to all of it
below 250 to 750 characters: what elements say of themselves decides."""
CLEAN = 0.85
"""Share of a page's text outside of links and of what says that it stands around the text, from
which there is nothing to be found. Set on pages of documentation, where the library loses a fifth
of the text; on pages of news, values from .8 to 1 move precision by .015 and recall by .001."""
ENOUGH = 0.5
"""Share of that text that the library's result must hold: below, it lost too much. On pages of
English news .4, .5, .6 give precision .907, .896, .886 and recall .984, .987, .987."""
CORE = 0.25
"""Share of the text that class names must leave, to be believed that the rest stands around it."""
MENU = 3
"""So many blocks in a row that are links and nothing else are a menu."""


@dataclass(frozen=True)
class Extract:
    """The main text of a page."""

    text: str
    title: str
    cut: bool
    """Whether the page was too long to be read to its end."""


def extract(page: str) -> Extract:
    """Extract the main text of an HTML page; where none stands out from the rest, all of it."""
    cut = len(page) > MAX_CHARACTERS
    page = page[:MAX_CHARACTERS].replace("\0", "")
    seen = markup.read(page)
    inside = [block for block in seen.blocks if not block.around] or seen.blocks
    core = [block for block in _without_menus(inside) if not block.named]
    if core and _size(core) >= CORE * _size(inside):
        inside = core
    text, size = "\n".join(block.text for block in inside), _size(inside)
    clean = size >= CLEAN * sum(len(block.text.encode()) for block in seen.blocks)
    if size >= SHORT and not clean and _is_bounded(page, seen):
        found = _library_text(page, seen)
        if found and len(found.encode()) >= ENOUGH * size:
            text = found
    return Extract(text, seen.title, cut or seen.cut)


def _size(blocks: list[markup.Block]) -> float:
    """Bytes of the text outside of links."""
    return sum(len(b.text.encode()) * (1 - b.links / markup.solid(b.text)) for b in blocks)


def _without_menus(blocks: list[markup.Block]) -> list[markup.Block]:
    """Blocks but for runs of at least three that are links and nothing else."""

    def is_link(block: markup.Block) -> bool:
        return not block.main and block.links == markup.solid(block.text)

    kept: list[markup.Block] = []
    for links, run in itertools.groupby(blocks, is_link):
        group = list(run)
        if not links or len(group) < MENU:
            kept += group
    return kept


def _is_bounded(page: str, seen: markup.Page) -> bool:
    return (
        len(page) <= TREE_CHARACTERS
        and seen.tags <= TREE_TAGS
        and seen.attributes <= TREE_ATTRIBUTES
    )


def _library_text(page: str, seen: markup.Page) -> str:
    """Return what the library takes for the main text, with preformatted text as it stands."""
    standins = _standins(page)
    found = _library(_prepared(page, seen, standins))
    found = found.translate({ord(letter): space for space, letter in standins.items()})
    return "\n".join(line.rstrip() for line in found.split("\n")).strip("\n")


def _standins(page: str) -> dict[str, str]:
    """For each kind of space a printable letter that the page doesn't have."""
    letters = (chr(c) for c in range(0x13000, 0x13400) if chr(c) not in page)
    return {space: next(letters, space) for space in "\n\t "}


_TAG_OR_SPACE = re.compile(r"</?([a-zA-Z][^\s/>]*)[^>]*>|\r\n?|[ \t\n]")


def _prepared(page: str, seen: markup.Page, standins: dict[str, str]) -> str:
    """Return a page without what says that it stands around the text.

    The library can't collapse the spaces and line ends of its preformatted text.
    """

    def stand(match: re.Match[str]) -> str:
        if (name := match[1]) is not None:
            return standins["\n"] if markup.is_block(name.lower()) else ""
        return standins["\n" if match[0][0] == "\r" else match[0]]

    gone = seen.around if any(not block.around for block in seen.blocks) else []
    spans = sorted(
        [
            *((start, stop, False) for start, stop in gone),
            *((start, stop, True) for start, stop in seen.verbatim),
        ]
    )
    parts, at = [], 0
    for start, stop, kept in spans:
        if start < at:  # inside of what is gone
            continue
        parts.append(page[at:start])
        if kept:
            text = _TAG_OR_SPACE.sub(stand, page[start:stop])
            parts.append(text.strip(standins["\n"]))
        at = stop
    return "".join([*parts, page[at:]])


def _library(page: str) -> str:
    """Return what trafilatura takes for the main text; empty where it can't tell, or fails."""
    import trafilatura
    from lxml import etree, html
    from trafilatura.metadata import Document

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        tree = html.document_fromstring(page.encode(), parser=parser)
        if tree.xpath(f"boolean(//*[count(ancestor::*) > {TREE_DEPTH}])"):
            return ""
        document = trafilatura.bare_extraction(
            tree, fast=True, favor_recall=True, include_comments=False, include_tables=True
        )
    except (etree.LxmlError, RecursionError, ValueError, TypeError, AttributeError, LookupError):
        return ""  # an odd tree trips it up; the text of `markup` remains
    return _rendered(document.body) if isinstance(document, Document) else ""


_BLOCKS = frozenset(("p", "head", "list", "item", "quote", "table", "row", "div", "lb", "body"))


def _rendered(body: _Element) -> str:
    """Return the text of trafilatura's tree: a line per block, the cells of a row apart."""
    from lxml import etree

    lines: list[str] = []
    parts: list[str] = []

    def flush() -> None:
        cells = (" ".join(cell.split()) for cell in "".join(parts).split("\0"))
        parts.clear()
        if line := "\t".join(cells).strip("\t"):
            lines.append(line)

    for event, element in etree.iterwalk(body, events=("start", "end")):
        if element.tag in _BLOCKS:
            flush()
        elif element.tag == "cell" and event == "start" and parts:
            parts.append("\0")
        if event == "start":
            parts.append(element.text or "")
        elif element is not body:
            parts.append(element.tail or "")
    flush()
    return "\n".join(lines)
