"""EPUB books to chapters in reading order. The archive is read in memory; nothing is unpacked to disk.

Only what the book's spine names is read, within bounds: pictures, fonts and scripts are never touched. The XML is read
by an HTML parser, which knows no entities to blow up and no files to fetch.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

from typing_extensions import override

from twainbot.corpora.decoding import decode
from twainbot.corpora.feeds import mended
from twainbot.corpora.normalize import tidy
from twainbot.errors import UnreadableSource

MAX_ENTRIES = 10_000  # a long illustrated book has some hundreds
MAX_UNPACKED_BYTES = 64 * 1024 * 1024  # of what is read; the longest novels are under 10 MB of XHTML
CONTAINER = "META-INF/container.xml"
FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")  # hides fonts, no text

_HTML_TYPES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_XML_HEAD = re.compile(
    r"\A\s*(?:<\?xml[^>]{0,200}\?>)?\s*(?:<!DOCTYPE[^>\[]{0,400}(?:\[.*?\]\s*)?>)?", re.IGNORECASE | re.DOTALL
)
_HEADINGS = frozenset(("h1", "h2", "h3"))
_BLOCKS = frozenset((
    "p", "div", "li", "ul", "ol", "dt", "dd", "blockquote", "pre", "center", "hr", "table", "tr", "section", "article",
    "aside", "header", "footer", "h1", "h2", "h3", "h4", "h5", "h6",
))  # fmt: skip
_UNSEEN = frozenset(("script", "style", "noscript", "template", "head", "nav", "figure", "iframe", "svg", "math"))


@dataclass(frozen=True)
class Chapter:
    """One document of the spine: its first heading ("" without one) and its text, heading included."""

    title: str
    text: str


@dataclass(frozen=True)
class Book:
    """A book as it reads. `rights` is what the file says of itself: a statement for people, no licence of ours."""

    title: str
    author: str
    language: str
    rights: str
    chapters: tuple[Chapter, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Item:
    """One entry of the manifest, its path resolved within the archive."""

    path: str
    media_type: str
    properties: str


def read_epub(raw: bytes) -> Book:
    """Title, authors, language and chapters in the order of the spine.

    Raises UnreadableSource for a broken archive, one that is too large or leaves its root, DRM, a missing spine, and a
    book without text. A missing container.xml is forgiven where one package file exists. What the spine leaves out of
    the reading order, or names in vain, is counted in `warnings`.
    """
    archive = _Archive(raw)
    package_path, notes = _package_path(archive)
    package = _soup(archive.read(package_path))
    spine, spine_notes = _spine(archive, package, package_path)
    _refuse_drm(archive, {item.path for item in spine})
    chapters = [_chapter(archive.read(item.path)) for item in spine]
    kept = tuple(chapter for chapter in chapters if chapter.text)
    if not kept:
        raise UnreadableSource("The EPUB has chapters but no text in them. It may hold pictures of pages only.")
    if len(kept) < len(chapters):
        notes.append(f"chapters_without_text={len(chapters) - len(kept)}")
    title, author, language, rights = (_told(package, name) for name in ("title", "creator", "language", "rights"))
    return Book(title, author, language, rights, kept, (*notes, *spine_notes))


class _Archive:
    """A zip in memory that gives out files up to a bound, and says in plain words what is wrong with it."""

    def __init__(self, raw: bytes) -> None:
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(raw))
            self.names = {entry.filename: entry for entry in self.zip.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, IndexError) as error:
            raise UnreadableSource(f"The EPUB is no whole zip archive ({error}). Fetch it again.") from error
        self.left = MAX_UNPACKED_BYTES
        if len(self.zip.infolist()) > MAX_ENTRIES:
            raise UnreadableSource(
                f"The EPUB holds {len(self.zip.infolist())} files, at most {MAX_ENTRIES} are read. It is no book."
            )
        bad = next((name for name in self.names if _leaves_root(name)), None)
        if bad is not None:
            raise UnreadableSource(f"The EPUB holds a file named {bad[:80]!r}, which leaves its root. Do not trust it.")

    def read(self, name: str) -> bytes:
        """The bytes of one file. The bound counts what comes out, not what the archive's index claims."""
        entry = self.names[name]
        if entry.flag_bits & 1:
            raise UnreadableSource(f"The EPUB's file {name!r} has a password. Save a copy without protection.")
        try:
            with self.zip.open(entry) as stream:
                data = stream.read(self.left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise UnreadableSource(f"The EPUB's file {name!r} cannot be unpacked ({error}). Fetch it again.") from error
        self.left -= len(data)
        if self.left < 0:
            raise UnreadableSource(
                f"The EPUB unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB of text. It is no book; take it away."
            )
        return data

    def find(self, folder: str, href: str) -> str | None:
        """The archive's name for a link: as written, percent signs decoded, or in other case; None where there is none.

        Raises UnreadableSource for a link that leaves the archive.
        """
        bare = href.split("#", 1)[0].split("?", 1)[0]
        for link in (bare, unquote(bare)):
            path = posixpath.normpath(posixpath.join(folder, link))
            if _leaves_root(path):
                raise UnreadableSource(f"The EPUB links to {href[:80]!r}, which leaves the archive. Do not trust it.")
            if path in self.names:
                return path
        low = posixpath.normpath(posixpath.join(folder, unquote(bare))).lower()
        return next((name for name in self.names if name.lower() == low), None)


def _leaves_root(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or bool(re.match(r"[A-Za-z]:", name)) or "\x00" in name


def _package_path(archive: _Archive) -> tuple[str, list[str]]:
    """The archive's name of the package file (OPF), and a warning where it had to be looked for."""
    if CONTAINER in archive.names:
        for root in _named(_soup(archive.read(CONTAINER)), "rootfile"):
            found = archive.find("", str(root.get("full-path") or ""))
            if found:
                return found, []
        raise UnreadableSource("The EPUB's container.xml names no package file that exists. Fetch it again.")
    packages = [name for name in archive.names if name.lower().endswith(".opf")]
    if len(packages) != 1:
        raise UnreadableSource(
            f"The file is no EPUB: it has no {CONTAINER} and {len(packages)} package files (.opf). Expected one."
        )
    return packages[0], ["no_container"]


def _spine(archive: _Archive, package: Any, package_path: str) -> tuple[list[_Item], list[str]]:
    """The documents in reading order, and notes on what the spine names but does not bring."""
    folder = posixpath.dirname(package_path)
    manifest = {str(item.get("id")): item for item in _named(package, "item") if item.get("id")}
    references = _named(package, "itemref")
    if not references:
        raise UnreadableSource("The EPUB has no spine, so its reading order is unknown. Repair it, or convert it anew.")
    found: list[_Item] = []
    lost = {"spine_items_missing": 0, "spine_items_not_linear": 0, "spine_items_without_text": 0, "contents_pages": 0}
    for reference in references:
        entry = manifest.get(str(reference.get("idref")))
        path = archive.find(folder, str(entry.get("href") or "")) if entry else None
        if entry is None or path is None:
            lost["spine_items_missing"] += 1
            continue
        item = _Item(path, str(entry.get("media-type") or "").lower(), str(entry.get("properties") or ""))
        why = _left_out(item, str(reference.get("linear") or ""))
        if why:
            lost[why] += 1
        elif item not in found:
            found.append(item)
    if not found:
        raise UnreadableSource(
            f"None of the {len(references)} files in the EPUB's spine is a page of text that exists."
        )
    return found, [f"{name}={count}" for name, count in lost.items() if count]


def _left_out(item: _Item, linear: str) -> str:
    if linear.lower() == "no":
        return "spine_items_not_linear"
    if "nav" in item.properties.split():
        return "contents_pages"
    by_name = item.path.lower().endswith((".xhtml", ".html", ".htm", ".xml"))
    return "" if item.media_type in _HTML_TYPES or (by_name and not item.media_type) else "spine_items_without_text"


def _refuse_drm(archive: _Archive, wanted: set[str]) -> None:
    """Raise UnreadableSource where text that is to be read is encrypted. Scrambled fonts are no matter."""
    name = "META-INF/encryption.xml"
    if name not in archive.names:
        return
    for data in _named(_soup(archive.read(name)), "encrypteddata"):
        methods = {str(method.get("algorithm")) for method in _named(data, "encryptionmethod")}
        paths = {archive.find("", str(link.get("uri") or "")) for link in _named(data, "cipherreference")}
        if paths & wanted and not methods <= set(FONT_SCRAMBLING):
            raise UnreadableSource(
                "The EPUB's text is encrypted (DRM). Only its shop can open it; use a copy without protection."
            )


class _Page(HTMLParser):
    """The readable text of one page, in one pass: feeds.html_to_text takes 15 s for a chapter of 8,000 paragraphs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self.hidden = self.preformatted = 0
        self.heading_at: int | None = None

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = tag.rpartition(":")[2]
        self._mark(name)
        self.hidden = 0 if name == "body" else self.hidden + (name in _UNSEEN)
        self.preformatted += name == "pre"
        if name in _HEADINGS and not self.title:
            self.heading_at = len(self.parts)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._mark(tag.rpartition(":")[2])

    @override
    def handle_endtag(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name in _HEADINGS and self.heading_at is not None:
            self.title = " ".join("".join(self.parts[self.heading_at :]).split())
            self.heading_at = None
        self.hidden = max(0, self.hidden - (name in _UNSEEN))
        self.preformatted = max(0, self.preformatted - (name == "pre"))
        self._mark(name if name != "br" else "")

    @override
    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data if self.preformatted else re.sub(r"\s+", " ", data))

    def _mark(self, name: str) -> None:
        if name in _BLOCKS or name == "br":
            self.parts.append("\n" if name == "br" else "\n\n")


def _chapter(raw: bytes) -> Chapter:
    """The page's text. Line breaks of its source are spaces, as in any browser, but for preformatted lines."""
    page = _Page()
    try:
        page.feed(_XML_HEAD.sub("", decode(raw).text))
        page.close()
    except (AssertionError, ValueError) as error:  # "<![what" is more than the parser bears
        raise UnreadableSource(
            f"A chapter of the EPUB is no XHTML ({error}). Repair it, or convert it anew."
        ) from error
    lines = [" ".join(line.split()) for line in "".join(page.parts).split("\n")]
    return Chapter(page.title, tidy(re.sub(r"\n{3,}", "\n\n", mended("\n".join(lines)))))


def _soup(raw: bytes) -> Any:
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        return BeautifulSoup(_XML_HEAD.sub("", decode(raw).text), "html.parser")
    except (ParserRejectedMarkup, AssertionError, ValueError) as error:
        raise UnreadableSource(
            f"The EPUB's package file is no XML ({error}). Repair it, or convert it anew."
        ) from error


def _named(soup: Any, *names: str) -> list[Any]:
    """Elements by local name, whatever their namespace prefix, in document order."""
    found: list[Any] = soup.find_all(True)
    return [tag for tag in found if tag.name.rpartition(":")[2] in names]


def _told(package: Any, name: str) -> str:
    """A word of the metadata; several creators are joined, those who only edited or drew left aside."""
    found = [tag for tag in _named(package, name) if ":" in tag.name or name != "title"]
    if name == "creator":
        roles = {id(tag): _role(package, tag) for tag in found}
        found = [tag for tag in found if roles[id(tag)] in ("", "aut")] or found
    words = [" ".join(tag.get_text(" ").split()) for tag in found]
    return ", ".join(dict.fromkeys(filter(None, words))) if name == "creator" else next(filter(None, words), "")


def _role(package: Any, tag: Any) -> str:
    """The role of a creator: an attribute in EPUB 2, a refining element in EPUB 3."""
    own = str(tag.get("opf:role") or tag.get("role") or "")
    refined: Iterator[str] = (
        str(meta.next_sibling or "").strip()  # for an HTML parser a meta element is empty, its text comes after it
        for meta in _named(package, "meta")
        if meta.get("property") == "role" and tag.get("id") and meta.get("refines") == f"#{tag.get('id')}"
    )
    return (own or next(refined, "")).lower()
