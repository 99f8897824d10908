"""RSS, Atom and JSON feeds of satire to rows of headline, lede and body. Who may use a feed's text is rights.py's business.

A unit of satire is a feed, or a feed with the pages of its items.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from twainbot.corpora.articles import read_article, repeats, with_article, with_body
from twainbot.corpora.decoding import refuse_non_text
from twainbot.corpora.normalize import fold, tidy
from twainbot.corpora.normalize import mended as mended_lines
from twainbot.corpora.pages import MAX_CLAIM, declared_text, header_reservations, is_cut, iso_time, licence_name, once
from twainbot.errors import UnreadableSource

MAX_FEED_BYTES = 16 * 2**20  # a year of a daily paper in full text is about 4 MB
_CLOSING_TAG = re.compile(r"</\s*(?:[\w.-]{1,20}:)?(?:rss|feed|RDF)\s*>$", re.IGNORECASE)
_TRAILERS = {"-->": "<!--", "</script>": "<script"}  # what a host may set behind the closing tag, and how it begins
MAX_TRAILERS = 20
_PAGE = re.compile(
    r"^\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--[^>]{0,2000}-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE
)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")
ENDLESS = 2_000  # characters of what could be an address; feedparser looks for one from each of them on
_ENDLESS = re.compile(rf"[A-Za-z0-9_.+-]{{{ENDLESS + 1},}}")
_ROOT = re.compile(r"<\s*(?:[\w.-]{1,20}:)?(?:rss|feed|RDF|channel)\b", re.IGNORECASE)
_OPENING = re.compile(r"\s*(?:(<!--)|(<\?)|(<!DOCTYPE\b))", re.IGNORECASE)
_DOCTYPE_MARK = re.compile(r"\"[^\"]*\"|'[^']*'|<!--.{0,4000}?-->|\[|\]|>", re.DOTALL)
MAX_DOCTYPE = 65536  # characters; one that goes on for longer is no feed's
_ENTITY = re.compile(r"<!ENTITY\s+(?!%)", re.IGNORECASE)
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")
_WHOLE_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_UNSEEN = ("script", "style", "noscript", "template", "head", "title", "nav", "figure", "iframe")
_BLOCK = ("p", "div", "li", "blockquote", "h1", "h2", "h3", "h4", "pre", "tr")
_TAG = re.compile(r"</?([a-z][a-z0-9]*)\b[^<>]*>", re.IGNORECASE)
# Left over after one unescaping: the feed escaped its markup twice.
_ESCAPED_TWICE = re.compile(
    r"</?(?:p|br|div|em|strong|b|i|a|span|img|ul|li|blockquote)\b[^<>]{0,300}>|&(?:[a-z]{2,8}|#\d{2,5}|#x[0-9a-f]{2,4});",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Page:
    """A fetched article page. headers: the lines of its answer that reserve rights ("X-Robots-Tag: noai")."""

    url: str
    raw: bytes
    headers: str = ""


def parse_feed(raw: bytes, url: str = "") -> list[dict[str, Any]]:
    """A row per item, in the feed's order: id, title, lede, body, text, link, published, author, tags, reject_reason.

    `url`: the feed's own address, the base of relative links where the feed names no link. `published` is ISO 8601 in
    UTC or "". Items without a body carry reject_reason "no_body", repeated ones "duplicate_item". Raises UnreadableSource
    where the bytes are no feed (the error names a page's own feed links), hold no item, declare entities, or stop early.
    """
    if len(raw) > MAX_FEED_BYTES:
        raise UnreadableSource(
            f"The feed has {len(raw)} bytes, expected at most {MAX_FEED_BYTES}. Ask it for fewer items."
        )
    document = declared_text(raw)[0].strip("\x00 \t\r\n\ufeff")
    if _PAGE.match(document[:4096]):
        raise UnreadableSource(_page_instead(document, url))
    refuse_non_text(raw, "The feed")
    items = _json_items(document, url) if document.startswith("{") else _xml_items(document, url)
    rows = [_row(item, number, url) for number, item in enumerate(items, 1)]
    return _each_once(rows)


def headline_only(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with headline, link, date and tags alone, for feeds whose text is not ours to train on.

    Nothing of lede or body stays. An item without a body is none the worse for it; one without a headline is rejected.
    """
    return [_headline_row(row) for row in rows]


def _headline_row(row: Mapping[str, Any]) -> dict[str, Any]:
    reason = None if row["reject_reason"] == "no_body" else row["reject_reason"]
    return {
        **row,
        "lede": "",
        "body": "",
        "text": row["title"],
        "body_from": "",
        "headline_only": True,
        "reject_reason": reason if row["title"] else "no_title",
    }


def read_unit(
    raw: bytes, url: str = "", pages: Mapping[str, Page] | None = None, headers: str = ""
) -> list[dict[str, Any]]:
    """Rows of a feed, each item completed by the page of its link where there is one, a reserved one cut to its headline.

    `headers`: of the feed's own answer; a feed that reserves itself ("X-Robots-Tag: noai") reserves all of its items. A
    page that cannot be read leaves its item as the feed gave it, with `page_reject_reason` "unreadable_page".
    """
    held = pages or {}
    reserved = list(header_reservations(headers))
    rows: list[dict[str, Any]] = [{**row, "reserved_by": reserved} for row in parse_feed(raw, url)]
    return [_completed(row, held.get(row["link"])) for row in rows]


def _completed(row: dict[str, Any], page: Page | None) -> dict[str, Any]:
    try:
        row = with_article(row, read_article(page.raw, page.url, page.headers)) if page else row
    except UnreadableSource:
        row = {**row, "page_reject_reason": "unreadable_page"}
    return _headline_row(row) if row["reserved_by"] else row


def _xml_items(document: str, url: str) -> list[dict[str, Any]]:
    """Items of RSS 0.9x, 1.0, 2.0 or Atom as `_row` wants them."""
    import feedparser

    document = _to_closing_tag(document)
    if not document:
        raise UnreadableSource(
            "The feed has no closing </rss> or </feed> tag: it is cut short or no feed. Fetch it again."
        )
    document = _ENDLESS.sub(lambda run: run[0][:ENDLESS], document)
    # Bytes in a stream: feedparser takes a bare string for a file's name or an address first.
    stream = io.BytesIO(_without_doctype(document).encode("utf-8", "replace"))
    try:
        parsed = feedparser.parse(stream, resolve_relative_uris=False, sanitize_html=False)
    except Exception as error:  # its lenient parser lets ValueError, AttributeError and others through
        raise UnreadableSource(f"The feed cannot be parsed: {error}. Fetch it again.") from error
    if not parsed.get("version") or not parsed.entries:
        why = parsed.get("bozo_exception", "it lists no item")
        raise UnreadableSource(
            f"The feed cannot be used: {why}. Expected RSS, Atom or JSON Feed with at least one item."
        )
    channel: Any = parsed.feed
    base = _absolute(str(channel.get("link", "")), url) or url
    shared = {
        "publication": _plain(channel.get("title", "")),
        "language": str(channel.get("language", ""))[:2].lower(),
        "base": base,
        "license": _licence(channel),
        "copyright": _plain(channel.get("rights", "")),
    }
    return [{**shared, **_xml_item(entry, shared)} for entry in parsed.entries]


def _xml_item(entry: Any, shared: Mapping[str, str]) -> dict[str, Any]:
    contents = [html_to_text(str(part.get("value", ""))) for part in entry.get("content", [])]
    when = entry.get("published_parsed") or entry.get("updated_parsed")
    licence, notice = _licence(entry), _plain(entry.get("rights", ""))
    return {
        "id": str(entry.get("id") or ""),
        "title": entry.get("title", ""),
        "summary": html_to_text(str(entry.get("summary", ""))),
        "body": max(contents, key=len, default=""),
        "link": str(entry.get("link", "")),
        "published": _utc(when) if when else "",
        "author": _plain(entry.get("author", "")),
        "tags": [_plain(tag.get("term")) for tag in entry.get("tags", []) if tag.get("term")],
        "license": licence or shared["license"],
        "copyright": notice or shared["copyright"],
        "claims": [licence, shared["license"], notice, shared["copyright"]],
    }


def _utc(when: Any) -> str:
    """A time as feedparser gives it in ISO 8601; "" outside the years 1 to 9999, into which a zone can push a time."""
    try:
        year, month, day, hour, minute, second = when[:6]
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).isoformat()
    except (ValueError, TypeError, OverflowError):
        return ""


def _licence(entry: Any) -> str:
    """The licence that a feed or entry links to (rel=license, creativeCommons:license), "" without one."""
    links = [str(link.get("href", "")) for link in entry.get("links", []) if link.get("rel") == "license"]
    names = once(licence_name(link) for link in links if link.strip())
    return names[0] if len(names) == 1 else f"unclear: {' / '.join(names)}" if names else ""


def _to_closing_tag(document: str) -> str:
    """The document up to its closing tag, without the comments and scripts behind it; "" where it has none."""
    end = len(document)
    for _ in range(MAX_TRAILERS):
        begins = next((begin for tail, begin in _TRAILERS.items() if document.endswith(tail, 0, end)), "")
        if not begins:
            break
        start = document.rfind(begins, 0, end)
        if start < 0:
            return ""
        end = len(document[:start].rstrip())
    return document[:end] if _CLOSING_TAG.search(document[max(0, end - 64) : end]) else ""


def _without_doctype(document: str) -> str:
    """The feed without XML declaration and DOCTYPE: it is text by now, and no entity may be declared.

    Raises UnreadableSource for a declared entity: nine lines of them grow to gigabytes, or read a local file.
    """
    start, doctype = _prolog_end(document)
    # a prolog that is no XML is searched as far as the first word that looks like a root
    root = _ROOT.search(document, start)
    root_at = root.start() if root else len(document)
    if _ENTITY.search(doctype) or _ENTITY.search(document[start:root_at]):
        raise UnreadableSource(
            "The feed declares XML entities of its own, which can grow without bound. Ask for a feed without."
        )
    # feedparser looks for a DOCTYPE before the root at each line end anew
    return " ".join(document[start:root_at].split()) + document[root_at:].lstrip()


def _prolog_end(document: str) -> tuple[int, str]:
    """Where the root begins, behind comments, instructions and DOCTYPE, and the DOCTYPE. What never ends takes all."""
    at, doctype = 0, ""
    while opening := _OPENING.match(document, at):
        start = opening.start(opening.lastindex or 0)
        if opening[3]:
            end = _doctype_end(document, opening.end())
            doctype += document[start:end]
        else:
            closing = "-->" if opening[1] else "?>"
            found = document.find(closing, opening.end())
            end = found + len(closing) if found >= 0 else len(document)
        at = end
    return at, doctype


def _doctype_end(document: str, at: int) -> int:
    """The end of a DOCTYPE, whose own declarations stand in brackets and whose names stand in quotes."""
    in_brackets = False
    for mark in _DOCTYPE_MARK.finditer(document, at, at + MAX_DOCTYPE):
        in_brackets = mark[0] == "[" or (in_brackets and mark[0] != "]")
        if mark[0] == ">" and not in_brackets:
            return mark.end()
    return len(document)


def _json_items(document: str, url: str) -> list[dict[str, Any]]:
    """Items of JSON Feed 1.0 or 1.1 as `_row` wants them."""
    try:
        feed = json.loads(document, strict=False)
        if "\\ud" in document.lower():  # half a character, which no table can store
            feed = json.loads(json.dumps(feed, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise UnreadableSource(
            f"The feed is no whole JSON ({error}): it is cut short or no feed. Fetch it again."
        ) from error
    items = feed.get("items")
    if "jsonfeed.org/version/" not in str(feed.get("version", "")) or not isinstance(items, list) or not items:
        raise UnreadableSource(
            "The JSON is no JSON Feed, or it lists no item. Expected `version` and `items` of jsonfeed.org."
        )
    shared = {
        "publication": _plain(feed.get("title") or ""),
        "language": str(feed.get("language") or "")[:2].lower(),
        "base": _absolute(str(feed.get("home_page_url") or ""), url)
        or _absolute(str(feed.get("feed_url") or ""), url)
        or url,
        "license": "",
        "copyright": "",
    }
    no_object = {"reject_reason": "not_an_object"}
    return [
        {**shared, **(_json_item(item) if isinstance(item, dict) else {**_json_item({}), **no_object})}
        for item in items
    ]


def _json_item(item: Mapping[str, Any]) -> dict[str, Any]:
    authors = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    tags = item.get("tags")
    body = html_to_text(str(item.get("content_html") or "")) or tidy(mended(str(item.get("content_text") or "")))
    return {
        "id": str(item.get("id") or ""),
        "title": str(item.get("title") or ""),
        "summary": tidy(mended(str(item.get("summary") or ""))),
        "body": body,
        "link": str(item.get("url") or item.get("external_url") or ""),
        "published": iso_time(str(item.get("date_published") or item.get("date_modified") or "")),
        "author": ", ".join(_plain(who.get("name") or "") for who in authors or [] if isinstance(who, dict)),
        "tags": [_plain(tag) for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
    }


def _row(item: dict[str, Any], number: int, url: str) -> dict[str, Any]:
    title = _plain(item["title"]).replace("\n", " ").strip()
    summary, body = _unescaped(item["summary"]), _unescaped(item["body"])
    lede, body = ("" if repeats(summary, body) else summary, body) if body else ("", summary)
    link = _absolute(item["link"], item["base"] or url)
    row = {
        "id": item["id"] or link or _content_id(title, body) or str(number),
        "title": title,
        "link": link,
        "published": item["published"],
        "author": item["author"],
        "tags": [tag for tag in item["tags"] if tag],
        "publication": item["publication"],
        "language": item["language"],
        "license": item["license"],
        "license_found_in": "feed" if item["license"] else "",
        "copyright": item["copyright"],
        "claims": once(claim[:MAX_CLAIM] for claim in item.get("claims", []) if claim),
        "body_from": "feed",
        "reject_reason": item.get("reject_reason"),
    }
    return with_body(row, lede, body)


def _content_id(title: str, body: str) -> str:
    """An id that stays when the feed moves on, for an item with neither guid nor link."""
    digest = hashlib.sha256("\n".join((title, body)).encode("utf-8", "replace")).hexdigest()
    return f"sha256:{digest[:12]}" if title or body else ""


def _absolute(link: str, base: str) -> str:
    """The link against its base; "" where that is no web address."""
    if not link.strip():
        return ""
    try:
        found = urljoin(base, link.strip())
        return found if urlsplit(found).scheme in ("http", "https") and urlsplit(found).hostname else ""
    except ValueError:  # a bracket in a host
        return ""


def _each_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A guid that comes again with the same headline is a duplicate; with another one it is an item under a new id.

    `identity` is what an item keeps from state to state: its guid, and its headline where the feed gives a guid twice.
    """
    seen: dict[str, int] = {}
    accepted: set[tuple[str, str]] = set()
    titles: dict[str, set[str]] = {}
    for row in rows:
        titles.setdefault(row["id"], set()).add(fold(row["title"]))
    for row in rows:
        identity, key = row["id"], (row["id"], fold(row["title"]))
        row["identity"] = " ".join(key) if len(titles[identity]) > 1 else identity
        if row["reject_reason"] is None and key in accepted:
            row["reject_reason"] = "duplicate_item"
        elif row["reject_reason"] is None:
            accepted.add(key)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] > 1:
            row["id"] = f"{identity}#{seen[identity]}"
    return rows


def _page_instead(document: str, url: str) -> str:
    """The sentence for an HTML page in a feed's place, with the feeds that the page itself names."""
    from lxml import etree

    page = etree.fromstring(document[:262144].encode("utf-8", "replace"), parser=etree.HTMLParser(encoding="utf-8"))
    links = [
        address
        for link in (page.iter("link") if page is not None else ())
        if str(link.get("type") or "").strip().lower() in _FEED_TYPES
        and (address := _absolute(href := str(link.get("href") or ""), url) or (href if not url else ""))
    ]
    named = (
        f"It names its feed: {', '.join(links[:3])}. Use that address."
        if links
        else "It names no feed. Check the address."
    )
    return f"The feed is an HTML page, expected RSS, Atom or JSON Feed. {named}"


def _unescaped(text: str) -> str:
    """Text whose markup had been escaped twice, or thrice, as a reader should see it."""
    for _ in range(2):
        if not _ESCAPED_TWICE.search(text):
            break
        text = html_to_text(text)
    return text


def _plain(text: object) -> str:
    plain = html_to_text(str(text)) if "<" in str(text) or "&" in str(text) else tidy(mended(str(text)))
    return _unescaped(plain).strip()


def html_to_text(markup: str, *, flattened: bool = False) -> str:
    """The readable text of an HTML fragment or page: paragraphs apart by a blank line, scripts and pictures gone.

    `flattened`: its tags stand for breaks already, since they were nested deeper than libxml2 reads.
    """
    from lxml import etree

    if "<" not in markup and "&" not in markup:
        return tidy(mended(markup))
    # A fragment gets a parent of its own, or libxml2 would set a paragraph around its first bare words.
    whole = markup if _WHOLE_PAGE.search(markup[:4096]) else f"<div>{markup}</div>"
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True)  # without it, all that follows 256 open tags is lost
    root = etree.fromstring(whole.encode("utf-8", "replace"), parser=parser)
    if is_cut(parser) and not flattened:
        return html_to_text(_TAG.sub(_flat, markup), flattened=True)
    if root is None:
        return ""
    lines = [" ".join(line.split()) for line in "".join(_pieces(root)).split("\n")]
    return tidy(re.sub(r"\n{3,}", "\n\n", mended("\n".join(lines))))


def _flat(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    return tag[0] if name in (*_UNSEEN, "br") else "<br><br>" if name in _BLOCK else ""


def _pieces(root: Any) -> Iterator[str]:
    """Text in the document's order, with a blank line around each block and a line end for each <br>."""
    from lxml import etree

    walker = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walker:
        if event == "start":
            if element.tag in _UNSEEN:
                walker.skip_subtree()
                continue
            yield "\n\n" if element.tag in _BLOCK else "\n" if element.tag == "br" else ""
            yield element.text or ""
        else:
            yield "\n\n" if event == "end" and element.tag in _BLOCK else ""
            yield element.tail or ""


def mended(text: str) -> str:
    """UTF-8 that was read as Windows-1252 on its way ("â€™") put right; any other text as it is."""
    return mended_lines(text)[0]
