"""RSS and Atom feeds of satire to rows of headline, lede and body. Who may use a feed's text is rights.py's business."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from twainbot.corpora.decoding import refuse_non_text
from twainbot.corpora.normalize import fold, tidy
from twainbot.errors import UnreadableSource

MIN_BODY_LETTERS = 80  # below that an item is a headline with a picture: nothing to learn a voice from
_CLOSING_TAG = re.compile(rb"</\s*(?:rss|feed|rdf:RDF)\s*>\s*(?:<!--.*?-->\s*)*$", re.IGNORECASE | re.DOTALL)
_BLOCK = ("p", "div", "li", "blockquote", "h1", "h2", "h3", "h4", "pre", "tr")


def parse_feed(raw: bytes) -> list[dict[str, Any]]:
    """A row per item, in the feed's order: id, title, lede, body, text, link, published, author, tags, reject_reason.

    `published` is ISO 8601 in UTC or "". Items without a body carry reject_reason "no_body". Raises UnreadableSource
    where the bytes are no feed, hold no item, or stop before the closing tag.
    """
    import feedparser

    refuse_non_text(raw, "The feed")
    document = raw.strip(b"\x00 \t\r\n").removeprefix(b"\xef\xbb\xbf").lstrip()
    if not _CLOSING_TAG.search(document):
        raise UnreadableSource(
            "The feed has no closing </rss> or </feed> tag: it is cut short or no feed. Fetch it again."
        )
    parsed = feedparser.parse(document)
    if not parsed.version or not parsed.entries:
        why = parsed.get("bozo_exception", "it lists no item")
        raise UnreadableSource(f"The feed cannot be used: {why}. Expected RSS 2.0 or Atom with at least one item.")
    channel: Any = parsed.feed
    feed_title = str(channel.get("title", ""))
    return [_row(entry, feed_title, number) for number, entry in enumerate(parsed.entries, 1)]


def _row(entry: Any, feed_title: str, number: int) -> dict[str, Any]:
    title = _plain(entry.get("title", "")).replace("\n", " ").strip()
    lede, body = _lede_and_body(entry)
    parts = [title, lede, body]
    return {
        "id": str(entry.get("id") or entry.get("link") or number),
        "title": title,
        "lede": lede,
        "body": body,
        "text": tidy("\n\n".join(part for part in parts if part)),
        "link": str(entry.get("link", "")),
        "published": _published(entry),
        "author": _plain(entry.get("author", "")),
        "tags": [str(tag.get("term")) for tag in entry.get("tags", []) if tag.get("term")],
        "publication": feed_title,
        "reject_reason": None if sum(map(str.isalpha, body)) >= MIN_BODY_LETTERS else "no_body",
    }


def _lede_and_body(entry: Any) -> tuple[str, str]:
    """Summary and full text. A summary that only repeats the text's beginning is no lede; alone, it is the body."""
    summary = html_to_text(str(entry.get("summary", "")))
    contents = [html_to_text(str(part.get("value", ""))) for part in entry.get("content", [])]
    body = max(contents, key=len, default="")
    if not body:
        return "", summary
    repeats = fold(body).startswith(fold(summary).rstrip(" .…[]")[:200])
    return ("" if repeats else summary), body


def _published(entry: Any) -> str:
    when = entry.get("published_parsed") or entry.get("updated_parsed")
    return datetime(*when[:6], tzinfo=UTC).isoformat() if when else ""


def _plain(text: object) -> str:
    return html_to_text(str(text)) if "<" in str(text) or "&" in str(text) else mended(str(text)).strip()


def html_to_text(markup: str) -> str:
    """The readable text of an HTML fragment or page: paragraphs apart by a blank line, scripts and pictures gone."""
    from bs4 import BeautifulSoup

    if "<" not in markup and "&" not in markup:
        return tidy(mended(markup))
    soup = BeautifulSoup(markup, "html.parser")
    for unseen in soup(["script", "style", "noscript", "template", "head", "nav", "figure", "iframe"]):
        unseen.decompose()
    for line_break in soup("br"):
        line_break.replace_with("\n")
    for block in soup(_BLOCK):
        block.insert_before("\n\n")
        block.insert_after("\n\n")
    lines = [" ".join(line.split()) for line in soup.get_text().split("\n")]
    return tidy(re.sub(r"\n{3,}", "\n\n", mended("\n".join(lines))))


def mended(text: str) -> str:
    """UTF-8 that was read as Windows-1252 on its way ("â€™") put right; any other text as it is."""
    if "â€" not in text and "Ã" not in text:
        return text
    import ftfy

    return ftfy.fix_encoding(text)
