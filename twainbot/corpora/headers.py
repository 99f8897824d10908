"""What a Project Gutenberg header or closing line says of a work: title, author, number, language, rights.

Where the header ends is decided in boilerplate.py. Nothing here trusts a printed number: callers compare it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from twainbot.corpora.rights import rights_of_header

_FIELD = re.compile(r"^[ \t]*(Title|Author|Language)[ \t]*:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE | re.IGNORECASE)
_NUMBER = re.compile(r"\[?\s*E-?(?:text|book)[ \t]*(?:No\.?|#)[ \t]*0*(\d{1,9})(?!\d)", re.IGNORECASE)
_NUMBERED_LINE = re.compile(r"^.*\[\s*E-?(?:text|book)\s*#.*$", re.MULTILINE | re.IGNORECASE)
_SERIES = re.compile(r"#\d+\s+in\s+our\s+series\s+(?:by|of)\s+(?:the\s+works\s+of\s+)?(.+)", re.IGNORECASE)
_OPENING = re.compile(
    r"(?:^|\n)[\W_]{0,80}(?:End\s+of\s+)?(?:The\s+|This\s+)?Project\s+Gutenberg(?:['’]?s)?\s+"
    r"(?:(?:E-?text|E-?book|Edition)(?:\s+of\b|[,:])?\s*|of\s+)?(.+?)(?=\n[^\S\n]*\n|\n[\W_]{0,80}#\d|$)",
    re.IGNORECASE | re.DOTALL,
)
_BEFORE_NUMBER = re.compile(
    r"(?:^|\n)[*_ ]{0,80}([^\n]{1,500}?):\s+(?:Project\s+)?Gutenberg\s+E-?text\s*#", re.IGNORECASE
)
_BY_SPLIT = re.compile(r"^(.*)[,;:]?\s+(?:written\s+)?by\s+([A-Z\"“].*)$", re.DOTALL)
_BY_LINE = re.compile(r"^[\W_]*by\s+(.+)$", re.IGNORECASE | re.DOTALL)
_ALIAS = re.compile(r"\s*[(\[](?!ed)[^()\[\]]*[)\]]\s*$")
_DATES = re.compile(r",?\s*\b\d{4}\??\s*-\s*(?:\d{4}\??)?\s*$")
_AUTOBIOGRAPHY = re.compile(r"\bAutobiography\s+of\s+((?:[A-Z][\w.']*\s?){2,4})")
_NOT_A_TITLE = re.compile(
    r"^(?:is|are|was|has|file|license|literary|header|volunteers?|online|-tm|trademark)\b", re.IGNORECASE
)
# Of a damaged page: patterns that begin with white space would start at each place of it.
_GAP = re.compile(r"\s{100,}")
_CODES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it", "latin": "la", "dutch": "nl",
    "portuguese": "pt", "finnish": "fi", "swedish": "sv", "danish": "da", "greek": "el", "middle english": "enm",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """Facts read from a header; an empty string or None where it does not say."""

    title: str = ""
    author: str = ""
    language: str = ""
    etext: int | None = None
    rights: str = "unknown"


def read_header(header: str, closing: str = "") -> Header:
    """Facts from the text before the work and, where that is silent, from its closing line ("End of ... X, by Y")."""
    header, closing = (
        _GAP.sub(lambda gap: "\n" * min(2, gap[0].count("\n")) or " ", text) for text in (header, closing)
    )
    fields = {name.lower(): _one_line(value) for name, value in reversed(_FIELD.findall(header))}
    guesses = [_numbered_block(header), _opening_line(header), _opening_line(closing)]
    title = fields.get("title") or next((title for title, _ in guesses if title), "")
    author = fields.get("author") or next((author for _, author in guesses if author), "")
    language = fields.get("language", "").lower()
    number = _NUMBER.search(header)
    return Header(
        title=title,
        author=clean_author(author or _series_author(header) or _autobiographer(title)),
        language=_CODES.get(language, language if re.fullmatch(r"[a-z]{2,3}", language) else ""),
        etext=int(number[1]) if number else None,
        rights=rights_of_header(header),
    )


def clean_author(author: str) -> str:
    """The name alone: "Mark Twain (Samuel Clemens)" is "Mark Twain", "Twain, Mark, 1835-1910" likewise."""
    name = _DATES.sub("", _ALIAS.sub("", _one_line(author).strip(" *.,;_"))).strip(" ,;*_")
    if name.count(",") == 1 and not re.search(r"\b(?:and|et)\b|&|\bJr\b|\bM\.?D\b|\bL\.?L\.?D\b", name):
        last, first = (part.strip() for part in name.split(","))
        name = f"{first} {last}" if first else last
    return name.title() if name.isupper() and len(name) > 4 else name


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _split_by(text: str) -> tuple[str, str]:
    """A title line as (title, author); the author is empty where no "by" stands before a capital."""
    line = _one_line(text).strip(" *_")
    match = _BY_SPLIT.match(line)
    title, author = (match[1], match[2]) if match else (line, "")
    return title.strip(" *_,;:."), author.strip(" *_")


def _opening_line(header: str) -> tuple[str, str]:
    """From "The Project Gutenberg EBook of T, by A", "Project Gutenberg's T, by A" or "T: Gutenberg Etext #148"."""
    before = _BEFORE_NUMBER.search(header)
    found = ("", "")
    for match in _OPENING.finditer(header[:20000]):
        title, author = _split_by(match[1])
        if title and len(title) < 200 and not _NOT_A_TITLE.match(title):
            found = (title, author)
            break
    return (_split_by(before[1])[0], found[1]) if before else found


def _numbered_block(header: str) -> tuple[str, str]:
    """From the paragraphs above "January, 1994  [Etext #102]": "T by A", or "T" and then "by A"."""
    number = _NUMBERED_LINE.search(header)
    if number is None or re.match(r"[ \t]*(?:Release|Posting) Date", number[0], re.IGNORECASE):
        return "", ""
    above = [part.strip() for part in re.split(r"\n\s*\n", header[: number.start()]) if part.strip()][-2:]
    if not above or "gutenberg" in above[-1].lower():
        return "", ""
    by = _BY_LINE.match(above[-1])
    if by and len(above) == 2:
        return _one_line(above[0]).strip(" *_"), by[1]
    return _split_by(above[-1])


def _series_author(header: str) -> str:
    match = _SERIES.search(header)
    return match[1].split("[")[0] if match else ""


def _autobiographer(title: str) -> str:
    match = _AUTOBIOGRAPHY.search(title)
    return match[1].strip() if match else ""
