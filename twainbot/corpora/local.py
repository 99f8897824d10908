"""Documents from a drop folder (txt, md, html, epub, pdf, jsonl) to passages. Whose they are stands in the sidecar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twainbot.corpora import epub, pdf
from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.feeds import html_to_text
from twainbot.corpora.jokes import json_lines
from twainbot.corpora.normalize import tidy
from twainbot.errors import BadUse, UnreadableSource

SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm", ".epub", ".pdf", ".jsonl")
SPLITS = ("heading", "line", "whole")

# The line whole, its closing marks taken off by `_named`: as one pattern that takes 5 s on a line of 4,000 spaces.
_HEADING = re.compile(r"^##[ \t]+(\S.*)$", re.MULTILINE)
_TITLE = re.compile(r"\A\s*#[ \t]+(\S.*)(?:\n|\Z)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,4}[.)])[ \t]+(.+(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_TITLE_OPENS = re.compile(rb"<title(?:\s[^<>]*)?>", re.IGNORECASE)
_TITLE_CLOSES = re.compile(rb"</title", re.IGNORECASE)


def parse_document(
    raw: bytes, suffix: str, split: str = "", topics: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Passages in order: title, text, extra, reject_reason, author, language, warnings. `suffix` is one of SUFFIXES.

    `split` "heading" gives one passage per "## " heading (the default for Markdown that has one) or chapter of an EPUB,
    "line" one per list item, "whole" the document. `topics` names a topic by heading. Author and language are what an
    EPUB or a PDF says of itself. Raises BadUse for a suffix or split that does not exist, UnreadableSource for bytes
    without text.
    """
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        raise BadUse(f"A local document must end in one of {', '.join(SUFFIXES)}; got {suffix!r}.")
    if split and split not in SPLITS:
        raise BadUse(f"A sidecar's split must be one of {', '.join(SPLITS)}; got {split!r}.")
    if suffix == ".jsonl":
        passages = _json_passages(raw)
    elif suffix == ".epub":
        passages = _book_passages(epub.read_epub(raw), split)
    elif suffix == ".pdf":
        passages = _pdf_passages(pdf.read_pdf(raw), split)
    else:
        title, text = _document(raw, suffix)
        passages = _passages(text, title, suffix, split)
    if not passages:
        raise UnreadableSource(
            "The local document holds a title and no text. Write something under it, or take it away."
        )
    for passage in passages:
        topic = (topics or {}).get(passage["title"])
        passage["extra"].update({"topic": topic} if topic else {})
        passage["reject_reason"] = passage["reject_reason"] or (None if passage["text"] else "empty")
    return passages


def _document(raw: bytes, suffix: str) -> tuple[str, str]:
    """Title and tidy text of one document."""
    if suffix in (".html", ".htm"):
        if not raw.strip():
            raise UnreadableSource("The local document is empty. Write something, or take it away.")
        return html_to_text(decode(_title_of(raw)).text), html_to_text(decode(raw).text)
    refuse_non_text(raw, "The local document")
    text = _FRONT_MATTER.sub("", tidy(decode(raw).text))
    title = _TITLE.match(text) if suffix != ".txt" else None
    return (_named(title[1]), tidy(text[title.end() :])) if title else ("", tidy(text))


def _named(line: str) -> str:
    """A heading's words: "Rain ##" is closed by marks; a lone "#" is a word."""
    line = line.rstrip()
    bare = line.rstrip("#")
    return bare.rstrip() or line


def _title_of(raw: bytes) -> bytes:
    """What stands in the first title element; nothing where it is never closed."""
    opens = _TITLE_OPENS.search(raw)
    closes = _TITLE_CLOSES.search(raw, opens.end()) if opens else None
    return raw[opens.end() : closes.start()] if opens and closes else b""


def _passages(text: str, title: str, suffix: str, split: str) -> list[dict[str, Any]]:
    headings = list(_HEADING.finditer(text)) if suffix != ".txt" else []
    if split == "line":
        items = [" ".join(match[1].split()) for match in _ITEM.finditer(text)]
        lines = items or [line.strip() for line in text.split("\n") if line.strip()]
        return [_passage("", line) for line in lines]
    if headings and split != "whole":
        return _by_heading(text, headings, title)
    return [_passage(title, text)] if text else []


def _by_heading(text: str, headings: list[re.Match[str]], title: str) -> list[dict[str, Any]]:
    """A passage per heading; text above the first heading, if any, is a passage of the document's own title."""
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    before = tidy(text[: headings[0].start()])
    passages = [_passage(title, before)] if before else []
    return passages + [_passage(_named(h[1]), tidy(text[h.end() : end])) for h, end in zip(headings, ends, strict=True)]


def _passage(title: str, text: str) -> dict[str, Any]:
    return {
        "title": title, "text": text, "extra": {}, "reject_reason": None, "author": "", "language": "", "warnings": ()
    }  # fmt: skip


def _book_passages(book: epub.Book, split: str) -> list[dict[str, Any]]:
    """A book as one passage, by its chapters, or by its lines."""
    if split == "heading":
        titles = [chapter.title or f"Part {number}" for number, chapter in enumerate(book.chapters, 1)]
        bodies = [tidy(chapter.text.removeprefix(chapter.title)) for chapter in book.chapters]
        passages = [_passage(title, body) for title, body in zip(titles, bodies, strict=True)]
    else:
        text = tidy("\n\n\n".join(chapter.text for chapter in book.chapters))
        passages = _passages(text, book.title, ".txt", split)
    for passage in passages:
        passage |= {"author": book.author, "language": book.language, "warnings": book.warnings}
        passage["extra"] |= {"rights_statement": book.rights} if book.rights else {}
    return passages


def _pdf_passages(document: pdf.Document, split: str) -> list[dict[str, Any]]:
    """A PDF as one passage or by its lines; it marks no headings."""
    passages = _passages(document.text, document.title, ".txt", split)
    done = {"pages": document.pages, "removed_lines": document.removed_lines, "hyphens_mended": document.hyphens_mended}
    for passage in passages:
        passage |= {"author": document.author, "warnings": document.warnings}
        passage["extra"] |= done
    return passages


def _json_passages(raw: bytes) -> list[dict[str, Any]]:
    refuse_non_text(raw, "The local document")
    rows = []
    for _, record, reason in json_lines(decode(raw).text):
        text = record.get("text")
        bad = reason or (None if isinstance(text, str) else "no_text_column")
        extra = {key: value for key, value in record.items() if key not in ("text", "title")}
        passage = _passage(str(record.get("title") or ""), "" if bad else tidy(str(text)))
        rows.append(passage | {"extra": extra, "reject_reason": bad})
    if rows and all(row["reject_reason"] for row in rows):
        raise UnreadableSource(f"None of the {len(rows)} lines is a JSON object with a text. Expected one a line.")
    return rows
