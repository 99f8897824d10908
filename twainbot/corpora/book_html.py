"""A Project Gutenberg book that a mirror holds only as HTML: its markup as the text edition would print it.

Only the layout is read here. Header, licence, credits and notes are then found in the text, as boilerplate.py does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
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
_NOTE = re.compile(r"^(?:trans(?:criber)?s?[-_]?notes?|tn(?:ote|box|s)?|transnote\w*)$", re.IGNORECASE)
_LIST = re.compile(r"^(?:toc\w*|contents|table-?of-?contents|loi|lot|illustrations-?list|chapterlist)$", re.IGNORECASE)
_CAPTION = re.compile(r"^(?:fig)?caption(?:ed)?\d*$", re.IGNORECASE)
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|gif|svg|webp)$", re.IGNORECASE)
_VERSE_LINE = re.compile(r"^(?:verse|line|l|i\d+(?:_\d)?|indent-?\d+|vr|stanza-?line)$", re.IGNORECASE)
_STANZA = re.compile(r"^(?:stanza|linegroup|lg|verse-?group|poem|poetry)$", re.IGNORECASE)
_INDENT = re.compile(r"^(?:i|indent-?)(\d{1,2})", re.IGNORECASE)
_SPACE_RUN = re.compile(r"[ \t\r\n\f]+")
_LISTING = ("table", "ul", "ol", "dl", "div", "p", "blockquote", "nav")
MAX_HEADING = 200  # letters of a heading that may be a list's
MAX_INDENT = 20  # blanks before a line of verse
MIN_LINKS = 3  # links into the same page that make a block a list of contents
LINK_SHARE = 0.6  # of a block's letters, that stand in such links
NAMED_LINK_SHARE = 0.2  # enough in a block that is called "toc": synopses and page numbers stand beside the links
MAX_SHARE = (
    0.34  # of a page's letters: no list, note or picture takes more of a book, but a wrapper around it can be called so
)
MAX_CAPTION = 2400  # letters; the longest caption seen has 2,300
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


@dataclass
class _Holds:
    """What stands in an element, itself included: letters of text, links into this page, pictures, headings of chapters."""

    letters: int = 0
    links: int = 0
    linked: int = 0  # letters in those links
    pictures: int = 0
    headings: int = 0
    inner_headings: int = 0  # of any kind

    def add(self, other: _Holds) -> None:
        for name in ("letters", "links", "linked", "pictures", "headings", "inner_headings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def _prune(soup: BeautifulSoup) -> dict[str, int]:
    """Take out what a reader of the text would not miss."""
    for tag in soup.find_all(tuple(name for name in _UNSEEN if name not in ("svg", "object"))):
        tag.decompose()
    held = _held(soup)
    for tag in soup.find_all(["img", "svg", "object"]):
        letter = str(tag.get("alt", ""))
        tag.replace_with(letter if len(letter) == 1 and letter.isalpha() else "")  # a drawn initial is part of its word
    most = MAX_SHARE * held[id(soup)].letters
    small = [tag for tag in soup.find_all(True) if held[id(tag)].letters <= most]
    found = {
        "page_numbers": [t for t in small if _is_called(t, _PAGE_NUMBER) and held[id(t)].letters <= MAX_NUMBER],
        "pictures": [tag for tag in small if _is_picture(tag, held[id(tag)])],
        "transcriber_notes": [tag for tag in small if _is_called(tag, _NOTE)],
        "contents": list(_contents(small, held)),
    }
    for tags in found.values():
        for tag in tags:
            if not tag.decomposed:
                tag.decompose()
    return {kind: len(tags) for kind, tags in found.items()}


def _held(soup: BeautifulSoup) -> dict[int, _Holds]:
    """What each element holds, by its id(): counted in one walk, however deep the elements nest."""
    from bs4 import Tag

    found: dict[int, _Holds] = {id(soup): _Holds()}
    open_ones: list[_Holds] = []
    for event, element in _walk(soup):
        if event == "text":
            open_ones[-1].letters += len(element.strip())
        elif event == "start":
            open_ones.append(found.setdefault(id(element), _Holds()))
        else:
            holds = open_ones.pop()
            if isinstance(element, Tag):
                _count_itself(element, holds)
            if open_ones:
                open_ones[-1].add(holds)
    return found


def _count_itself(tag: Tag, holds: _Holds) -> None:
    href = str(tag.get("href", "")) if tag.name == "a" else ""
    if href.startswith("#") and holds.letters > 1:
        holds.links += 1
        holds.linked += holds.letters
    if tag.name in ("img", "svg", "object") or _PICTURE_FILE.search(href):
        holds.pictures += 1
    if tag.name in _HEADINGS:
        # One that holds others is no heading of a list, and its words are not gathered once for each level.
        listed = not holds.inner_headings and holds.letters <= MAX_HEADING and is_heading(_words(tag))
        holds.headings += not listed
        holds.inner_headings += 1


def _words(tag: Tag) -> str:
    return tag.get_text(" ", strip=True)


def _names(tag: Tag) -> list[str]:
    """Classes and id of an element."""
    found: list[str] = []
    for value in (tag.get("class"), tag.get("id")):
        found += value.split() if isinstance(value, str) else value or ()
    return found


def _is_called(tag: Tag, pattern: re.Pattern[str]) -> bool:
    return tag.name not in ("body", "html", *_HEADINGS) and any(map(pattern.match, _names(tag)))


def _is_picture(tag: Tag, holds: _Holds) -> bool:
    """A caption, or a block called a figure in which a picture is: "ill" alone may mean that somebody is."""
    if tag.name == "caption" or holds.letters > MAX_CAPTION:  # a table's caption is part of the table
        return False
    if tag.name == "figcaption" or _is_called(tag, _CAPTION):
        return True
    return holds.pictures > 0 and (tag.name == "figure" or _is_called(tag, _PICTURE))


def _contents(blocks: list[Tag], held: dict[int, _Holds]) -> Iterator[Tag]:
    """Lists of contents: blocks that are called so or whose words are links into this page, with their heading.

    The outermost block of a list is given. A paragraph that is one link is one only in a row of its like.
    """
    taken: set[int] = set()
    for block in blocks:
        if id(block.parent) in taken:
            taken.add(id(block))
        elif block.name in _LISTING and _is_list(block, held):
            taken.add(id(block))
            yield block
            heading = block.find_previous(["h1", "h2", "h3", "h4", "h5", "p", "div"])
            short = heading is not None and heading.name != "div" and held[id(heading)].letters <= MAX_HEADING
            if heading is not None and short and is_heading(_words(heading)):
                yield heading


def _is_list(block: Tag, held: dict[int, _Holds]) -> bool:
    holds = held[id(block)]
    if any(map(_LIST.match, _names(block))):
        enough = holds.links >= MIN_LINKS and holds.linked >= NAMED_LINK_SHARE * holds.letters
        return holds.headings == 0 and (enough or _is_dense(holds))
    if not _is_dense(holds) or holds.headings:  # chapters stand inside, whose headings may link back to the list
        return False
    return holds.links >= MIN_LINKS or (block.name == "p" and _stands_in_row(block, held))


def _is_dense(holds: _Holds) -> bool:
    return holds.letters > 0 and holds.linked >= LINK_SHARE * holds.letters


def _stands_in_row(block: Tag, held: dict[int, _Holds]) -> bool:
    """Whether paragraphs of links stand before or behind it, MIN_LINKS together."""
    from bs4 import Tag

    count = 1
    for siblings in (block.previous_siblings, block.next_siblings):
        for sibling in siblings:
            if isinstance(sibling, Tag):
                if sibling.name != "p" or not _is_dense(held.get(id(sibling), _Holds())):
                    break
                count += 1
                if count >= MIN_LINKS:
                    return True
    return False


def _printed(soup: BeautifulSoup) -> Iterator[str]:
    """Pieces of text and line feeds, in order."""
    pending = 0  # line feeds that are due before the next text
    fresh = True  # at the start of a line
    kept_as_is = 0  # how many <pre> are open
    for event, element in _walk(soup):
        if event != "text" and element.name == "pre":
            kept_as_is += 1 if event == "start" else -1
        if event == "text":
            piece = str(element) if kept_as_is else _text_of(element, fresh=fresh)
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
