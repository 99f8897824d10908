"""A Project Gutenberg book that a mirror holds only as HTML: its markup as the text edition would print it.

Only the layout is read here. Header, licence, credits and notes are then found in the text, as boilerplate.py does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twainbot.corpora import boilerplate
from twainbot.corpora.boilerplate import CleanedWork
from twainbot.corpora.contents import is_heading
from twainbot.corpora.decoding import decode, is_html, refuse_non_text
from twainbot.errors import UnreadableSource

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, NavigableString, Tag

_UNSEEN = ("script", "style", "head", "title", "svg", "noscript", "template", "iframe", "object", "nav", "map")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BREAKS = {  # line feeds that an element stands between; two are a paragraph, four a new part of the book
    **dict.fromkeys(("h1", "h2", "hr"), 4), **dict.fromkeys(("li", "tr", "dt", "dd", "caption", "option"), 1),
    **dict.fromkeys(
        ("p", "div", "blockquote", "pre", "table", "ul", "ol", "dl", "section", "article", "header", "footer", "main",
         "figure", "h3", "h4", "h5", "h6", "center", "body", "address", "aside", "form"), 2),
}  # fmt: skip
_PAGE_NUMBER = re.compile(
    r"^(?:x-?)?(?:page-?nums?|page_?numbers?|pageno|pgnum|pb|pagebreak|newpage|folionum)$", re.IGNORECASE
)
_PICTURE = re.compile(
    r"^(?:fig(?:ure|center|left|right|caption|block)?|caption(?:ed)?|illus(?:tration)?s?|image(?:center|left|right)?|ill(?:ust)?)\d*$",
    re.IGNORECASE,
)
_NOTE = re.compile(r"^(?:trans(?:criber)?s?[-_]?notes?|tn(?:ote|box|s)?|transnote\w*|trans)$", re.IGNORECASE)
_LIST = re.compile(r"^(?:toc\w*|contents?|table-?of-?contents|loi|lot|illustrations-?list|chapterlist)$", re.IGNORECASE)
_VERSE_LINE = re.compile(r"^(?:verse|line|l|i\d+(?:_\d)?|indent-?\d+|vr|stanza-?line)$", re.IGNORECASE)
_STANZA = re.compile(r"^(?:stanza|linegroup|lg|verse-?group|poem|poetry)$", re.IGNORECASE)
_INDENT = re.compile(r"^(?:i|indent-?)(\d{1,2})", re.IGNORECASE)
_SPACE_RUN = re.compile(r"[ \t\r\n\f]+")
MAX_INDENT = 20  # blanks before a line of verse
MIN_LINKS = 3  # links into the same page that make a block a list of contents
LINK_SHARE = 0.6  # of a block's letters, that stand in such links
MAX_NUMBER = 12  # letters of a page number: "[Pg 123]"


def strip_gutenberg_html(raw: bytes) -> CleanedWork:
    """The work in a Project Gutenberg HTML edition (<id>-h.htm, pg<id>-images.html), and what its header says.

    Paragraphs, headings and verse lines stay; page numbers, pictures with captions, lists of contents and transcribers'
    notes go. Always html.parser: which other parsers are installed must not change a work. Raises UnreadableSource for
    a page in which no Gutenberg book is marked, such as an error page.
    """
    if not is_html(raw):
        refuse_non_text(raw, "The Gutenberg page")
        raise UnreadableSource("The Gutenberg page is no HTML. Read it as plain text.")
    decoded = decode(raw)
    text, cuts = html_text(decoded.text)
    if not boilerplate.is_marked(text):
        raise UnreadableSource(
            f"The HTML page of {len(raw)} bytes marks no Gutenberg book (no START, END or small print line), so it may be an "
            "error or index page. Fetch the book's own file."
        )
    warnings = ("from_html", *decoded.warnings, *(f"cut_html_{kind}={n}" for kind, n in sorted(cuts.items()) if n))
    return boilerplate.strip_text(text, decoded.encoding, warnings)


def html_text(markup: str) -> tuple[str, dict[str, int]]:
    """The text of an HTML book in the layout of a text edition, and how much was left out, by kind."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(markup, "html.parser")
    cuts = _prune(soup)
    return "".join(_printed(soup)), cuts


def _prune(soup: BeautifulSoup) -> dict[str, int]:
    """Take out what a reader of the text would not miss."""
    for tag in soup.find_all(_UNSEEN):
        tag.decompose()
    for tag in soup.find_all("img"):
        letter = str(tag.get("alt", ""))
        tag.replace_with(letter if len(letter) == 1 and letter.isalpha() else "")  # a drawn initial is part of its word
    found = {
        "page_numbers": [t for t in soup.find_all(_classed(_PAGE_NUMBER)) if len(t.get_text()) <= MAX_NUMBER],
        "pictures": soup.find_all(_classed(_PICTURE)),
        "transcriber_notes": soup.find_all(_classed(_NOTE)),
        "contents": list(_contents(soup)),
    }
    for tags in found.values():
        for tag in tags:
            if not tag.decomposed:
                tag.decompose()
    return {kind: len(tags) for kind, tags in found.items()}


def _names(tag: Tag) -> list[str]:
    """Classes and id of an element."""
    found: list[str] = []
    for value in (tag.get("class"), tag.get("id")):
        found += value.split() if isinstance(value, str) else value or ()
    return found


def _classed(pattern: re.Pattern[str]) -> Callable[[Tag], bool]:
    def matches(tag: Tag) -> bool:
        if tag.name in ("body", "html", *_HEADINGS):
            return False
        return (tag.name == "figure" and pattern is _PICTURE) or any(map(pattern.match, _names(tag)))

    return matches


def _contents(soup: BeautifulSoup) -> Iterator[Tag]:
    """Lists of contents: blocks that are called so or whose words are links into this page, with their heading."""
    for block in soup.find_all(["table", "ul", "ol", "dl", "div", "p", "blockquote", "nav"]):
        links = [link for link in block.find_all("a", href=re.compile("^#")) if len(link.get_text(strip=True)) > 1]
        linked = sum(len(link.get_text(strip=True)) for link in links)
        whole = len(block.get_text(strip=True))
        named = any(map(_LIST.match, _names(block))) and len(links) > 0
        dense = whole > 0 and linked >= LINK_SHARE * whole and (len(links) >= MIN_LINKS or block.name == "p")
        if named or (dense and not _holds_heading(block)):
            yield block
            heading = block.find_previous(["h1", "h2", "h3", "h4", "h5", "p", "div"])
            if heading is not None and heading.name != "div" and is_heading(heading.get_text(" ", strip=True)):
                yield heading


def _holds_heading(block: Tag) -> bool:
    """True where chapters stand inside, whose headings may link back to the list of contents."""
    return any(not is_heading(heading.get_text(" ", strip=True)) for heading in block.find_all(_HEADINGS))


def _printed(soup: BeautifulSoup) -> Iterator[str]:
    """Pieces of text and line feeds, in order."""
    pending = 0  # line feeds that are due before the next text
    fresh = True  # at the start of a line
    for event, element in _walk(soup):
        if event == "text":
            piece = _text_of(element, fresh=fresh)
            if piece:
                yield "\n" * pending + piece
                pending, fresh = 0, piece.endswith((" ", "\n"))
        elif element.name in ("td", "th"):
            yield "  " if event == "end" else ""
        elif element.name == "br":
            pending, fresh = min(pending + (event == "end"), 2) if pending < 2 else pending, True
        elif feeds := _feeds(element):
            pending, fresh = max(pending, 2 if event == "end" and element.name in _HEADINGS else feeds), True
            if event == "start" and feeds == 1 and _indent(element):
                yield "\n" * pending + " " * _indent(element)
                pending = 0


def _walk(soup: BeautifulSoup) -> Iterator[tuple[str, Any]]:
    """Starts and ends of elements and the texts between them, without recursion: pages nest a thousand deep."""
    from bs4 import NavigableString, Tag
    from bs4.element import PreformattedString

    stack: list[tuple[str, Any]] = [("start", soup)]
    while stack:
        event, element = stack.pop()
        if isinstance(element, Tag):
            yield event, element
            if event == "start":
                stack.append(("end", element))
                stack.extend(("start", child) for child in reversed(element.contents))
        elif isinstance(element, NavigableString) and not isinstance(element, PreformattedString):
            yield "text", element


def _text_of(text: NavigableString, *, fresh: bool) -> str:
    if text.find_parent("pre") is not None:
        return str(text)
    piece = _SPACE_RUN.sub(" ", text)
    return piece.lstrip(" ") if fresh else piece


def _feeds(tag: Tag) -> int:
    """How many line feeds stand around an element: 1 for a line of verse, 2 for a paragraph, 0 inside a line."""
    names = _names(tag)
    if any(map(_VERSE_LINE.match, names)):
        return 1
    in_stanza = tag.parent is not None and any(map(_STANZA.match, _names(tag.parent)))
    if in_stanza and not any(map(_STANZA.match, names)) and tag.name in ("div", "span", "p"):
        return 1
    return _BREAKS.get(tag.name, 0)


def _indent(tag: Tag) -> int:
    found = next(filter(None, map(_INDENT.match, _names(tag))), None)
    return min(int(found[1]), MAX_INDENT) if found else 0
