"""What an HTML page says about itself, read from its head, JSON-LD and marks: no guess about its text is made here."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.normalize import tidy
from twainbot.errors import UnreadableSource

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_NODES = 500  # of JSON-LD: a long page lists its comments there too
MAX_TAGS = 40
MAX_NAME = 5_000  # characters of an author's name; trafilatura takes seconds of a longer one
MAX_CLAIM = 200  # characters of a licence or copyright line

_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*+["']?\s*+([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_NO_CHARSET = ("unicode-escape", "raw-unicode-escape", "punycode", "idna", "utf-7")  # codecs that no page is in
_MARKUP = re.compile(rb"<\s*(?:!doctype|html|head|body|title|meta|p|div|article|h1|script|span|a)\b", re.IGNORECASE)
_ARTICLE_TYPE = re.compile(r"(?:Article|Posting|Report)$")
_SATIRE = re.compile(r"\bsatir(?:e|es|ical|isch|ique)\b", re.IGNORECASE)
_RESERVING = re.compile(r"\b(noai|noimageai|noindex|none)\b", re.IGNORECASE)
_TDM = re.compile(r"\btdm-reservation\s*:\s*1\b", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?", re.IGNORECASE)
_ALL_RESERVED = re.compile(
    r"rights reserved|rechte vorbehalten|droits réservés|derechos reservados|diritti riservati", re.IGNORECASE
)
_DECK = re.compile(
    r"(?:^|[\s_-])(?:deck|dek|standfirst|subtitle|sub-?head(?:line|ing)?|lede)(?:$|[\s_-])", re.IGNORECASE
)
_CONTAINERS: tuple[type, ...] = (dict, list)
_UNSEEN = ("script", "style", "noscript", "template", "head")


def markup_text(raw: bytes, what: str, limit: int) -> tuple[str, str]:
    """Text and encoding of a page or feed. UTF-8 wins where it is valid; then a declared charset that fits; then bytes.

    Raises UnreadableSource where the bytes are empty, binary, over `limit` or hold no tag.
    """
    if len(raw) > limit:
        raise UnreadableSource(
            f"{what} has {len(raw)} bytes, expected at most {limit}. It is no text of ours; skip it."
        )
    if not _MARKUP.search(raw[:4096].replace(b"\x00", b"")):
        refuse_non_text(raw, what)
        raise UnreadableSource(
            f"{what} holds no HTML tag at its beginning, expected an HTML page. Fetch its HTML form."
        )
    return declared_text(raw)


def declared_text(raw: bytes) -> tuple[str, str]:
    """Text and encoding name of marked-up bytes: `decoding.decode`, but a declared charset decides what UTF-8 cannot."""
    found = decode(raw)
    if found.encoding not in ("iso-8859-1", "windows-1252", "mixed-8-bit"):
        return found.text, found.encoding
    label = _CHARSET.search(raw[:2048])
    try:
        name = codecs.lookup(label[1].decode("ascii")).name if label else ""
        # A declaration that can be read as bytes is in no charset of two bytes a letter.
        if name in ("", "iso8859-1", *_NO_CHARSET) or name.startswith(("utf-16", "utf-32")):
            return found.text, found.encoding
        return raw.decode(name), name
    except (LookupError, UnicodeError):  # an unknown charset, or one that the bytes are not in
        return found.text, found.encoding


def linked_data(tree: HtmlElement) -> list[dict[str, Any]]:
    """Every JSON-LD object of the page with a type, outermost first, at most 500; broken blocks are passed over."""
    found: list[dict[str, Any]] = []
    for script in tree.iter("script"):
        if (script.get("type") or "").split(";")[0].strip().casefold() != "application/ld+json":
            continue
        try:
            found += _typed(json.loads(_unwrapped(script.text or ""), strict=False))
        except (ValueError, RecursionError):
            continue
    return found[:MAX_NODES]


def is_cut(parser: Any) -> bool:
    """Whether libxml2 stopped before a page's end: it reads tags nested to 256, or 2048 where the tree may be huge."""
    return any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)


def _unwrapped(block: str) -> str:
    """A script's text without the comment or CDATA marks that hide it from old browsers."""
    text = block.strip()
    for opening in ("<!--", "<![CDATA["):
        text = text.removeprefix("//").lstrip().removeprefix(opening)
    for closing in ("-->", "]]>"):
        if text.endswith(closing):
            text = text.removesuffix(closing).rstrip().removesuffix("//")
    return text


def _typed(value: Any) -> Iterator[dict[str, Any]]:
    """Objects that carry @type, breadth first, so that the page's own comes before what it mentions."""
    waiting = [value]
    for seen, item in enumerate(waiting):
        if seen > 20 * MAX_NODES:
            return
        if isinstance(item, dict):
            if "@type" in item:
                yield item
            waiting += [inner for inner in item.values() if isinstance(inner, _CONTAINERS)]
        elif isinstance(item, list):
            waiting += [inner for inner in item if isinstance(inner, _CONTAINERS)]


def types(node: dict[str, Any]) -> list[str]:
    """The node's types without their vocabulary's address."""
    named = node.get("@type", [])
    return [str(name).rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in (named if isinstance(named, list) else [named])]


def article_node(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The first node that is an article or posting and names a headline or body; {} without one."""
    articles = [node for node in nodes if any(_ARTICLE_TYPE.search(kind) for kind in types(node))]
    return next((node for node in articles if "headline" in node or "articleBody" in node), {})


def said(node: dict[str, Any], name: str, *, keep_lines: bool = False) -> str:
    """A property as plain text: a name where it is an object, the first where it is a list."""
    return next(iter(_values(node.get(name), keep_lines=keep_lines)), "")


def _values(value: Any, *, keep_lines: bool = False) -> list[str]:
    """The texts in a property, in order; objects give their name or address."""
    if isinstance(value, list):
        return [text for item in value for text in _values(item, keep_lines=keep_lines)]
    if isinstance(value, dict):
        value = value.get("name") or value.get("@id") or value.get("url")
        return _values(value, keep_lines=keep_lines) if not isinstance(value, dict) else []
    text = _plain(value, keep_lines=keep_lines) if isinstance(value, str | int | float) else ""
    return [text] if text else []


def _plain(value: object, *, keep_lines: bool = False) -> str:
    import html

    text = tidy(html.unescape(str(value)).encode("utf-8", "replace").decode())
    text = re.sub(r"<[^<>]{1,200}>", "", text)
    return text.strip() if keep_lines else " ".join(text.split())


def words_of(element: HtmlElement | None) -> str:
    """An element's text in one line, "" without one."""
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def meta(tree: HtmlElement, *names: str) -> str:
    """The first content of the named meta elements, in the order of the names."""
    return next(iter(metas(tree, *names)), "")


def metas(tree: HtmlElement, *names: str) -> list[str]:
    """Every content of the named meta elements, whether they say `name`, `property` or `itemprop`."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for element in tree.iter("meta"):
        keys = {
            str(element.get(key) or "").strip().casefold() for key in ("name", "property", "itemprop", "http-equiv")
        }
        for name in keys & found.keys():
            found[name].append(_plain(element.get("content") or ""))
    return [content for contents in found.values() for content in contents if content]


def visible_text(tree: HtmlElement) -> str:
    """All text that a reader without scripts sees, menus included."""
    body = tree.find(".//body")
    return " ".join(_seen(body if body is not None else tree))


def _seen(element: HtmlElement) -> Iterator[str]:
    hidden = {inner for unseen in element.iter(*_UNSEEN) for inner in unseen.iter()}
    for inner in element.iter():
        if inner not in hidden and isinstance(inner.tag, str) and inner.text:
            yield inner.text
        if inner.tail and (inner not in hidden or inner.tag in _UNSEEN):
            yield inner.tail


def author(tree: HtmlElement, node: dict[str, Any]) -> str:
    """Names of the authors, joined by a comma; addresses are no names, nor is what is longer than MAX_NAME characters."""
    names = _values(node.get("author")) or metas(tree, "author", "byl", "article:author", "dc.creator")
    kept = [name for name in names if "://" not in name and len(name) <= MAX_NAME]
    return ", ".join(dict.fromkeys(re.sub(r"^by\s+", "", name, flags=re.IGNORECASE) for name in kept))


def published(tree: HtmlElement, node: dict[str, Any]) -> str:
    """When the page says that it was published, ISO 8601: UTC where it names a zone, a bare day where it names no time."""
    times = [
        element.get("datetime") or ""
        for element in tree.iter("time")
        if element.get("pubdate") is not None or (element.get("itemprop") or "") == "datePublished"
    ]
    named = (
        "article:published_time",
        "datepublished",
        "parsely-pub-date",
        "dc.date.issued",
        "dc.date",
        "pubdate",
        "date",
    )
    candidates = [said(node, "datePublished"), *metas(tree, *named), *times, said(node, "dateCreated")]
    return next((when for when in map(iso_time, candidates) if when), "")


def iso_time(text: str) -> str:
    """A date as ISO 8601, "" where it is none."""
    text = text.strip()
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return datetime.fromisoformat(text).date().isoformat()
        when = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        return (when.astimezone(UTC) if when.tzinfo else when).isoformat(timespec="seconds")
    except (ValueError, TypeError, OverflowError):
        return ""


def day_in_address(url: str) -> str:
    """The day that an address names as most papers' do (/2026/06/04/), "" without one."""
    found = re.search(r"/(\d{4})/(\d{2})/(\d{2})(?:/|$)", url)
    return iso_time("-".join(found.groups())) if found else ""


def tags(tree: HtmlElement, node: dict[str, Any]) -> tuple[str, ...]:
    """Section, keywords and rel=tag links, each once whatever its case, at most 40."""
    found = [*_values(node.get("articleSection")), *_split(_values(node.get("keywords")))]
    found += [*metas(tree, "article:section", "article:tag"), *_split(metas(tree, "news_keywords", "keywords"))]
    found += [words_of(element) for element in tree.iter("a") if "tag" in _rel(element)]
    return tuple(once(tag for tag in found if tag and len(tag) <= 80)[:MAX_TAGS])


def once(values: Iterable[str]) -> list[str]:
    """Each once, ignoring case, in the order and the case of its first place."""
    found: dict[str, str] = {}
    for value in values:
        found.setdefault(value.casefold(), value)
    return list(found.values())


def _split(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in re.split(r"[,;]", value) if part.strip()]


def _rel(element: HtmlElement) -> list[str]:
    return str(element.get("rel") or "").casefold().split()


def publication(tree: HtmlElement, node: dict[str, Any]) -> str:
    """The paper's name."""
    return meta(tree, "og:site_name") or said(node, "publisher") or meta(tree, "application-name", "dc.publisher")


def language(tree: HtmlElement, node: dict[str, Any]) -> str:
    """Two or three letters, "" where the page does not say."""
    declared = (tree.get("lang") or "", said(node, "inLanguage"), meta(tree, "og:locale", "content-language"))
    codes = (re.match(r"[a-z]{2,3}(?![a-z])", text.strip().casefold()) for text in declared)
    return next((code[0] for code in codes if code), "")


def satire_evidence(tree: HtmlElement, nodes: list[dict[str, Any]]) -> tuple[str, ...]:
    """Where the page calls itself satire: its JSON-LD type, genre or section, meta elements, a rel=tag link."""
    found = [f"json-ld:{kind}" for node in nodes for kind in types(node) if kind == "SatiricalArticle"]
    for name in ("genre", "articleSection", "keywords"):
        found += [f"json-ld:{name}" for node in nodes if any(map(_SATIRE.search, _values(node.get(name))))]
    for name in ("article:section", "article:tag", "section", "genre", "keywords", "news_keywords", "rating"):
        found += [f"meta:{name}" for content in metas(tree, name) if _SATIRE.search(content)]
    for element in tree.iter("a"):
        where = f"{words_of(element)} {unquote(element.get('href') or '').rstrip('/').rsplit('/', 1)[-1]}"
        if "tag" in _rel(element) and _SATIRE.search(where):
            found.append("rel-tag")
    return tuple(dict.fromkeys(found))


def reservations(tree: HtmlElement, headers: str = "") -> tuple[str, ...]:
    """What asks machines to stay away, with its place: "meta:noai", "header:noindex", "meta:tdm-reservation".

    A directive addressed to one named robot counts as well: who reserves a text from one reader of machines means machines.
    """
    robots = [
        element.get("content") or ""
        for element in tree.iter("meta")
        if re.search(r"robots?$|bot$|^ai$", (element.get("name") or "").strip(), re.IGNORECASE)
    ]
    found = [f"meta:{word.casefold()}" for content in robots for word in _RESERVING.findall(content)]
    if meta(tree, "tdm-reservation").strip() == "1":
        found.append("meta:tdm-reservation")
    return tuple(dict.fromkeys([*found, *header_reservations(headers)]))


def header_reservations(headers: str) -> tuple[str, ...]:
    """What an answer's header lines ask of machines, whether the answer was a page or a feed: "header:noai"."""
    found = [f"header:{word.casefold()}" for line in _robots_lines(headers) for word in _RESERVING.findall(line)]
    if _TDM.search(headers):
        found.append("header:tdm-reservation")
    return tuple(dict.fromkeys(found))


def _robots_lines(headers: str) -> list[str]:
    """Lines of an X-Robots-Tag: all where only its values were given, else those under its name."""
    lines = headers.splitlines()
    named = [line for line in lines if re.match(r"\s*x-robots-tag\s*:", line, re.IGNORECASE)]
    others = [
        line
        for line in lines
        if not re.match(r"\s*[\w-]+\s*:", line) or re.match(r"\s*\w*bot\s*:", line, re.IGNORECASE)
    ]
    return [*named, *others]


def licence(tree: HtmlElement, node: dict[str, Any]) -> tuple[str, str]:
    """Licence and where it was found: "json-ld", "head", "meta" or "link". A picture's licence is not the page's.

    The first place that names one decides; where it names several that differ, the answer says "unclear" and all of them.
    """
    for where, claims in _licence_claims(tree, node):
        names = list(dict.fromkeys(licence_name(claim) for claim in claims if claim.strip()))
        if names:
            return (names[0] if len(names) == 1 else f"unclear: {' / '.join(names)}"), where
    return "", ""


def rights_claims(tree: HtmlElement, node: dict[str, Any]) -> tuple[str, ...]:
    """Every licence and copyright line of the page, in any place: what frees has its place, what restricts counts in all."""
    licences = [licence_name(claim) for _, claims in _licence_claims(tree, node) for claim in claims if claim.strip()]
    notices = [*_values(node.get("copyrightNotice")), *metas(tree, "copyright", "dcterms.rightsholder")]
    footers = [_reserving(words_of(element)) for element in tree.iter("footer") if not _in_footer(element)]
    said = [*licences, *notices, *filter(None, footers)]
    return tuple(dict.fromkeys(claim[:MAX_CLAIM] for claim in said))


def _in_footer(element: HtmlElement) -> bool:
    """Whether another footer holds this one: its words hold these, and nested ones would be read once a level."""
    return any(outer.tag == "footer" for outer in element.iterancestors())


def _reserving(words: str) -> str:
    """The first sentence's part that reserves all rights, with at most 80 characters before; empty where there is none."""
    found = _ALL_RESERVED.search(words)
    if found is None:
        return ""
    before = re.split(r"[.\n]", words[max(0, found.start() - 80) : found.start()])[-1]
    return (before + found[0]).strip()


def _licence_claims(tree: HtmlElement, node: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield "json-ld", _values(node.get("license"))
    yield "head", [element.get("href") or "" for element in tree.iter("link") if "license" in _rel(element)]
    yield "meta", metas(tree, "dcterms.license", "dc.license", "dcterms.rights", "dc.rights", "license")
    links = [element for element in tree.iter("a") if not _in_picture(element)]
    yield "link", [element.get("href") or words_of(element) for element in links if "license" in _rel(element)]
    yield "link", [str(element.get("href")) for element in links if _CREATIVE_COMMONS.search(element.get("href") or "")]


def _in_picture(element: HtmlElement) -> bool:
    return any(outer.tag in ("figure", "figcaption", "aside") for outer in element.iterancestors())


def licence_name(claim: str) -> str:
    """A Creative Commons address as its name ("CC BY-NC 4.0", "CC0 1.0", "Public domain"); any other claim as it is."""
    found = _CREATIVE_COMMONS.search(claim)
    if found is None:
        return tidy(claim).strip()[:MAX_CLAIM]
    family, code, version = found[1].casefold(), found[2].casefold(), found[3] or ""
    if family == "publicdomain":
        return (
            f"CC0 {version}".strip()
            if code == "zero"
            else "Public domain"
            if code == "mark"
            else f"unclear: {found[0]}"
        )
    return f"CC {code.upper()} {version}".strip()


def deck(tree: HtmlElement) -> str:
    """The line under the headline, by its class; "" without one of a line's length."""
    for element in tree.iter("p", "h2", "h3", "div", "span"):
        if _DECK.search(element.get("class") or ""):
            text = words_of(element)
            if 10 <= len(text) <= 400:
                return text
    return ""
