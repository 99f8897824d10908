"""Tables of contents and lists of illustrations inside a book: where they begin and end. Chapter headings stay.

A list opens with its heading ("CONTENTS", "List of Plates") and runs over paragraphs that look like entries: a chapter
label, a page number at the end of a line, or a title that comes back later as a heading of its own. Where the evidence
is thin, nothing is cut: a list left in costs tokens, a preface cut out is lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from twainbot.corpora.furniture import paragraphs
from twainbot.corpora.page import LIST_HINTS, Page, Span

MIN_ENTRIES = 3  # proven entries; fewer, and the list stays
MAX_ENTRY = 1600  # characters: the longest synopsis of a chapter seen in a table of contents has 1,200
MAX_SHARE = 0.34  # of a text: no list of contents takes more of a book, but a book of short verses can look like one
MIN_PICTURES = 2
MAX_LIST = 20_000  # characters of a list set as one paragraph
MAX_PARAGRAPHS = 600  # the longest list seen has 340
MAX_TITLE = 160  # characters of a heading that an entry may come back as
MAX_LINE = 76  # characters of an entry's line
MAX_LINES_PER_PAGE = 8  # an entry's synopsis may take this many lines before its page number
LOOK_AHEAD = 4  # paragraphs behind a heading that tell a list from a chapter
MAX_BRIDGE = (
    1  # paragraphs unlike an entry that may stand between two entries with page numbers (a plate's long caption)
)
_SUBJECT = (
    "illustrations?|plates|engravings|portraits|maps|figures|(?:wood-?)?cuts|drawings|pictures|charts|chapters|contents"
)
_HEADING = re.compile(
    r"[\W_]*(?:(?:the\s+)?(?:(?:general\s+)?table\s+of\s+)?contents?|c\s?o\s?n\s?t\s?e\s?n\s?t\s?s"
    rf"|(?P<pictures>(?:a\s+)?(?:list|table|index)\s+(?:of|to)\s+(?:the\s+)?(?:full[- ]page\s+)?(?:{_SUBJECT})|illustrations))"
    r"(?:\s+(?:of|to|in)\s+(?:(?:the|this)\s+)?[\w .]{0,36})?(?:[\W_]*(?:page|chapter|vol(?:ume)?\.?\s*\w{1,6}))?[\W_]*$",
    re.IGNORECASE,
)
_NUMERAL = r"(?:[ivxlc]{1,7}|\d{1,3})"
_ORDINAL = (
    r"(?:the\s+)?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|one|two|three|four|five|last)"
)
_LABEL = re.compile(
    rf"[\W_]*(?:(?:chapters?|chap|ch|book|part|section|letter|canto|act|scene|volume|vol|no|number|lecture|essay|story|tale"
    rf"|sketch)\b\.?\s*(?P<number>{_NUMERAL}|{_ORDINAL})\b|(?P<alone>{_NUMERAL})(?:[.):]|\s+-|\s*$|[.]?\s{{2,}}))",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(r"(?:facing\s+)?(?:page|p\.)?\s*(?:[ivxlc]{1,7}|[\dlO]{1,4})|frontispiece", re.IGNORECASE)
_PAGE_COLUMN = re.compile(
    r"[\W_]*(?:chapter\s+)?(?:[\w ]{0,24}\s{2,})?(?:page|pages|chap(?:ter)?|facing page|to face page)[\W_]*$",
    re.IGNORECASE,
)
_SYNOPSIS = re.compile(r"(?:--|—|–)\s?[A-Z\"“'‘]")
_PAGE_ENDS = frozenset("0123456789ivxlcIVXLCOeE._*)")  # e: "Frontispiece"
_SPEECH = frozenset('"“‘')
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_EDGES = " \t_*.,:;-\"“”'‘’()[]"
_COLUMNS = re.compile(r"[\W_]*appendi(?:x|ces)\b.*\S\s{3,}\S", re.IGNORECASE)


@dataclass
class _List:
    """A list being walked: which entries were seen, how many are proven, and where the last proven one ends."""

    pictures: bool
    end: int
    seen: set[str] = field(default_factory=set)
    proven: int = 0
    bridged: int = 0

    def ends_before(self, lines: list[str], ahead: list[str], *, wide: bool) -> bool:
        """True where the book begins: two paragraphs of text follow, or one where a wide gap stands above these lines.

        An entry that was seen before comes back over its chapter, so there any text close behind is enough. "BOOK II /
        CHAPTER I / CHAPTER II" restarts its numbers inside a list: there only entries follow.
        """
        if _is_column(lines):
            return False
        if ahead[:2] == ["no", "no"] or (wide and ahead[:1] == ["no"]):
            return True
        if _entry_key(lines[0]) not in self.seen or "no" in ahead:
            return _entry_key(lines[0]) in self.seen
        # Short speeches that come twice look like titles, so titles alone must follow without anything between.
        return not {"proven", "paged"} & set(ahead) and set(ahead) != {"titled"}

    def take(self, lines: list[str], last: int, kind: str) -> bool:
        """Note one paragraph that ends at `last`. False where the list has ended before it."""
        if kind in ("proven", "titled", "paged"):
            if self.bridged and kind != "paged":
                return False
            self.bridged = 0
            column = len(lines) if len(lines) > 2 and not _LABEL.match(lines[0]) else 0
            self.proven += max(1, sum(map(_is_strong, lines)), column)
            self.end = last
        elif kind != "maybe":
            self.bridged += 1
            if kind == "end" or self.bridged > MAX_BRIDGE:
                return False
        self.seen.update(map(_entry_key, lines if len(lines) > 2 else lines[:1]))
        return True


def contents(page: Page) -> list[Span]:
    """Spans of every table of contents and list of illustrations, with its heading, in order."""
    text = page.text
    spans: list[Span] = []
    titles: Counter[str] | None = None
    for start in sorted({text.rfind("\n", 0, at) + 1 for at in page.places(LIST_HINTS)}):
        if spans and start < spans[-1][1]:
            continue
        heading = _heading_at(text, start)
        if heading:
            if titles is None:
                titles = _title_counts(text, start)
            span = _walk(text, start, heading, titles)
            spans += [span] if span else []
    total = sum(end - start for start, end in spans)
    return spans if total <= MAX_SHARE * len(text) else []


def is_heading(line: str) -> bool:
    """True for the heading of a table of contents or a list of illustrations."""
    return bool(_HEADING.match(line))


def _heading_at(text: str, start: int) -> re.Match[str] | None:
    """The match of a list's heading: a line that stands alone, or the first line of its paragraph."""
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    if line_end - start > 80 or (start and not text.startswith("\n\n", start - 2)):
        return None
    return _HEADING.match(text, start, line_end)


def _title_counts(text: str, start: int) -> Counter[str]:
    """How often each short paragraph's lines occur from `start` on: a title in a list comes back over its chapter."""
    short = [paragraph for paragraph in text[start:].split("\n\n") if len(paragraph) <= MAX_TITLE]
    # Speech is most of what is short in a novel; it is left out since it costs time, and proves nothing.
    told = "\n".join([paragraph for paragraph in short if paragraph[:1] not in _SPEECH and paragraph.count("\n") <= 2])
    return Counter(map(_key, filter(None, told.split("\n"))))


def _walk(text: str, start: int, heading: re.Match[str], titles: Counter[str]) -> Span | None:
    """The span of the list that `heading` opens, None where too little proves it to be one."""
    found = _List(pictures=bool(heading["pictures"]), end=heading.end())
    at = heading.end()
    for number, ahead in enumerate(_with_the_next(_judged(text, at, titles))):
        first, last, kind = ahead[0]
        lines = text[first:last].split("\n")
        wide = found.proven > 0 and text.count("\n", at, first) > 3
        if found.pictures:
            kind = _picture_kind(kind, lines[0], wide=wide)
        elif number and kind != "paged" and found.ends_before(lines, [entry[2] for entry in ahead[1:]], wide=wide):
            break
        if (number and _HEADING.match(lines[0])) or not found.take(lines, last, kind):
            break
        at = last
    enough = MIN_PICTURES if found.pictures else MIN_ENTRIES
    return (start, found.end) if found.proven >= enough else None


def _is_column(lines: list[str]) -> bool:
    return len(lines) > 1 and all(map(_is_strong, lines))


def _judged(text: str, start: int, titles: Counter[str]) -> Iterator[tuple[int, int, str]]:
    """The paragraphs from `start` on with their kinds, judged when asked for."""
    for number, (first, last) in enumerate(islice(paragraphs(text, start), MAX_PARAGRAPHS)):
        yield first, last, _entry_kind(text, first, last, titles, first_block=not number)


def _with_the_next(entries: Iterator[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """Each entry with the LOOK_AHEAD entries behind it."""
    window = list(islice(entries, LOOK_AHEAD))
    while window:
        window += islice(entries, 1)
        yield window
        window = window[1:]


def _picture_kind(kind: str, line: str, *, wide: bool) -> str:
    """Captions never come back as headings: short lines are entries up to a wide gap or the first chapter."""
    label = _LABEL.match(line)
    if label and label["number"] and not line.lstrip().lower().startswith(("no", "vol")):
        return "end"
    if kind == "paged" or (label and kind == "proven"):
        return kind
    return "end" if wide else "no" if kind == "no" else "proven"


def _entry_kind(text: str, first: int, last: int, titles: Counter[str], *, first_block: bool) -> str:
    """ "paged", "proven" (label or synopsis), "titled" (a line that comes back), "maybe" (a short line), or "no"."""
    if last - first > (MAX_LIST if first_block else MAX_ENTRY):
        return "no"
    lines = text[first:last].split("\n")
    paged = sum(map(_is_paged, lines))
    if (paged and paged * MAX_LINES_PER_PAGE >= len(lines)) or (
        last - first <= MAX_LINE and all(map(_PAGE_COLUMN.match, lines))
    ):
        return "paged"
    if _LABEL.match(lines[0]) and _reads_as_label(lines):
        return "proven"
    if len(lines) > 1:
        return _block_kind(lines, titles, first_block=first_block)
    if titles[_entry_key(lines[0])] > 1:
        return "titled"
    return "maybe" if len(lines[0]) <= MAX_LINE else "no"


def _is_paged(line: str) -> bool:
    return _before_page(line) < len(line) or bool(_COLUMNS.match(line))


def _before_page(line: str) -> int:
    """Where an entry's words end and dots or blanks lead to its page number; the line's length without such a number."""
    if line[-1:] not in _PAGE_ENDS:
        return len(line)
    at = max(line.rfind("  "), line.rfind(". "), line.rfind(".."), line.rfind("\t"))
    if at > 0 and _PAGE_NUMBER.fullmatch(line[at + 1 :].strip(" \t._*()")):
        return at
    return len(line)


def _reads_as_label(lines: list[str]) -> bool:
    """A label with its title or synopsis, and not a numbered paragraph of prose."""
    if len(lines) == 1 or all(map(_is_strong, lines)):
        return True
    whole = " ".join(lines)
    return len(whole) < 240 or len(_SYNOPSIS.findall(whole)) >= max(2, len(whole) // 160)


def _block_kind(lines: list[str], titles: Counter[str], *, first_block: bool) -> str:
    """The kind of a paragraph of several lines: a column of titles, a synopsis, or text."""
    strong = sum(map(_is_strong, lines))
    if strong * 3 >= len(lines) * 2:
        return "proven"
    known = sum(1 for line in lines if titles[_entry_key(line)] > 0)
    if (
        len(lines) >= 3
        and max(map(len, lines)) <= MAX_LINE
        and (known * 3 >= len(lines) or (first_block and known * 5 >= len(lines)))
    ):
        return "proven"
    whole = " ".join(lines)
    if len(_SYNOPSIS.findall(whole)) >= max(2, len(whole) // 120):
        return "proven"
    return "maybe" if len(lines) == 2 and max(map(len, lines)) <= 60 else "no"


def _is_strong(line: str) -> bool:
    return _is_paged(line) or bool(_LABEL.match(line))


def _entry_key(line: str) -> str:
    """What identifies an entry: its number where it has a label, else its words without a page number."""
    label = _LABEL.match(line)
    if label:
        numeral = (label["number"] or label["alone"]).lower()
        return f"#{_value(numeral) if re.fullmatch(_NUMERAL, numeral) else numeral}"
    return _key(line[: _before_page(line)])


def _key(line: str) -> str:
    return " ".join(line.strip(_EDGES).casefold().split())


def _value(numeral: str) -> int:
    """The number that a Roman or Arabic numeral writes."""
    if numeral.isdigit():
        return int(numeral)
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))


def _line_end(text: str, start: int, end: int) -> int:
    at = text.find("\n", start, end)
    return end if at < 0 else at
