"""The work inside a Project Gutenberg file, for every header form since 1991. Furniture of the page is furniture.py's.

A file is read as a row of events (START and END markers, small print, closing lines, licence openers); the text
between an opening and a closing event is the work. Compilations open and close several times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from twainbot.corpora import contents, furniture
from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.furniture import paragraph_at, paragraphs
from twainbot.corpora.headers import Header, read_header
from twainbot.corpora.normalize import tidy
from twainbot.corpora.page import MARKER_HINTS, NAME_HINTS, TAIL_PHRASES, Page, Span
from twainbot.errors import UnreadableSource

MIN_LETTERS = 60  # fewer: a header with nothing under it, or a fetch that stopped at once
SHORT_LETTERS = 1500  # fewer: kept with a warning; the shortest whole works (fables, speeches) come near it
REOPEN_LETTERS = 400  # of text after small print in a footer before it counts as the next work of a compilation
SHORT_TAIL = 2500  # characters that may follow a closing line as leftovers; more, and the file goes on
MARKER_LINES = 4  # a START or END marker wraps over this many lines at most
LAST_PASS = 6  # passes until nothing changes: two for nearly every file

# No quotation mark may stand before a marker or a closing line: a character may read one aloud.
_MARKER = re.compile(
    r"(?:[^\w\"“”'‘’]|_){0,16}(START|BEGIN(?:NING)?|END)\W{0,3}\s*OF\s*(?:THE|THIS)?\b(.*)$", re.IGNORECASE | re.DOTALL
)
_MARKER_NAME = re.compile(r"\bPRO\w{2,6}\W+G\w{5,10}G?\b|\bGUT\w{3,8}\b|\bE-?BOOK\b|\bE-?TEXT\b", re.IGNORECASE)
_NOT_MARKER = re.compile(r"\bLICEN[CS]E|\bHEADER\b", re.IGNORECASE)
_PRINT_START = re.compile(r"[\W_]*START\W*THE SMALL PRINT|[\W_]*the legal small print[\W_]*$", re.IGNORECASE)
_PRINT_END = re.compile(r"[\W_]*END\W*(?:OF\s+)?THE SMALL PRINT", re.IGNORECASE)
_CLOSING = re.compile(
    r"(?:[^\w\"“”'‘’]|_)*(?:(?:this\s+is\s+|here\s+is\s+)?the\s+)?(?:end|ende|fin|fine|einde|slut|loppu)\s+"
    r"(?:(?:of|dieses|dieser|de|du|del|van|av|the|this|le|la)\s+){0,3}"
    r"(?:(?:the\s+|copyrighted\s+)*(?:project|projekt|projet)\W+gutenb|e-?text\b|e-?book\b)",
    re.IGNORECASE,
)
TAIL = 50_000  # characters: the longest licence is 20,000, so its phrases are looked for in the end of a file only
# Small letters only, for a lowered text: ignoring case takes three times as long.
_BOILER = re.compile(
    r"gutenberg|e-?text|e-?book|electronic work|licen[sc]e|donation|refund|trademark|copyright|royalt|the foundation"
    r"|small print|disclaim|redistribut|michael (?:s\. )?hart|ftp\b|https?:|www\.|\.zip|\.txt|newsletter|501\(c\)"
    r"|character set encoding|release date|posting date|last updated|electronic medium|computer virus"
)
_HEADER_FIELD = re.compile(
    r"[\W_]*(?:title|author|editor|translator|illustrator|release date|posting date|last updated|language|edition"
    r"|character set encoding|credits|original publication|e-?book #|e-?text #)\b[^\n]{0,30}[:#]",
    re.IGNORECASE,
)
_HEADER_EVIDENCE = re.compile(
    r"project\W+gutenberg|gutenberg e-?text|\[\s*e-?(?:text|book) *#|plain vanilla electronic texts", re.IGNORECASE
)
_HEADER_WORD = re.compile(r"gutenberg|\be-?texts?\b|\be-?books?\b|small print|www\.|ftp\b|\.zip", re.IGNORECASE)
_HEADER_OPENING = re.compile(
    r"gutenberg|\be-?texts?\b|\be-?books?\b|^\W*title\s*:|information in this header|copyright laws are|plain vanilla",
    re.IGNORECASE,
)
_HEADER_PARAGRAPHS = 160  # small print of the 1990s runs to about 90 paragraphs
_HEADER_GAP = 6  # paragraphs without a header word that may stand between two with one
_TRADEMARK = re.compile(
    r"(?:project|projekt|projet)[\W_]{1,8}gutenb[eu]rg(?:['’]s)?"
    r"|gutenb[eu]rg[\W_]{0,3}(?:-?tm\b|™|\(tm\)|e-?texts?\b|e-?books?\b|\.org|\.net|literary archive|license|newsletter|mirror)"
    r"|pglaf|promo\.net/pg|pgdp\.net",
    re.IGNORECASE,
)
_PARAGRAPH_TO_CUT = 14  # lines: a longer paragraph that names the project loses that sentence, not all its lines


@dataclass(frozen=True)
class CleanedWork:
    """A work without its edition's wrapping. `rights` is "public_domain_us", "restricted" or "unknown"."""

    text: str
    title: str
    author: str
    language: str
    etext: int | None
    rights: str
    encoding: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Event:
    start: int
    end: int
    kind: str  # open | close | print_start | print_end | closing | licence


@dataclass
class _Cuts:
    """How much was cut, by kind, over all passes."""

    counts: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, number: int) -> None:
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def as_warnings(self) -> tuple[str, ...]:
        return tuple(f"cut_{kind}={number}" for kind, number in sorted(self.counts.items()))


def strip_gutenberg(raw: bytes) -> CleanedWork:
    """The work in a Project Gutenberg plain-text file of any year, and what its header says.

    Nothing that names the project survives; verse, dialogue and the work's own title page do. Deterministic, and
    idempotent on its own output. Raises UnreadableSource for empty, binary, HTML, header-only or nearly empty files.
    """
    refuse_non_text(raw, "The Gutenberg file")
    # On bytes it costs half as much as on text; in UTF-16 a zero stands between the two.
    decoded = decode(raw.replace(b"\r\n", b"\n"))
    return strip_text(decoded.text, decoded.encoding, decoded.warnings)


def is_marked(text: str) -> bool:
    """True where a line of the text opens or closes a Gutenberg book."""
    return bool(_read(Page(tidy(text))).marks & {"open", "close", "print_end", "closing"})


def strip_text(text: str, encoding: str, warnings: tuple[str, ...] = ()) -> CleanedWork:
    """`strip_gutenberg` for what has been decoded."""
    page = Page(tidy(text))
    reading = _read(page)
    header = read_header(page.text[: reading.zones[0][0]] if reading.zones else page.text, reading.closing)
    cuts = _Cuts()
    body = _settle(page.without(_outside(page, reading.zones)), cuts)
    letters = _letters(body)
    if letters < MIN_LETTERS:
        found = "only a header or licence" if reading.marks else "no readable text"
        raise UnreadableSource(
            f"The Gutenberg file of {len(text)} characters holds {found} ({letters} letters of body, at least {MIN_LETTERS} "
            "expected). Fetch it again, or take another edition."
        )
    notes = _reading_warnings(reading, letters)
    return _work(body, header, encoding, (*warnings, *notes, *cuts.as_warnings()))


def _work(body: str, header: Header, encoding: str, warnings: tuple[str, ...]) -> CleanedWork:
    return CleanedWork(
        text=body,
        title=header.title,
        author=header.author,
        language=header.language,
        etext=header.etext,
        rights=header.rights,
        encoding=encoding,
        warnings=warnings,
    )


def _reading_warnings(reading: _Reading, letters: int) -> tuple[str, ...]:
    checks = (
        ("no_header", not reading.marks & {"open", "print_end", "header"}),
        ("no_start_marker", "open" not in reading.marks),
        ("no_end_marker", not reading.marks & {"close", "closing"}),
        ("short_body", letters < SHORT_LETTERS),
        ("text_after_end_marker", reading.dropped > SHORT_LETTERS),
        (f"parts={len(reading.zones)}", len(reading.zones) > 1),
    )
    return tuple(name for name, holds in checks if holds)


def _settle(page: Page, cuts: _Cuts) -> str:
    """Furniture and residue cut, search by search in turn, until every search has found this very text clean.

    That is what makes strip_gutenberg idempotent.
    """
    clean = number = 0
    while clean < len(_SEARCHES) and number < LAST_PASS * len(_SEARCHES):
        kind, find = _SEARCHES[number % len(_SEARCHES)]
        spans = find(page)
        number, clean = number + 1, 0 if spans else clean + 1
        if spans:
            page = page.without(spans)
            cuts.note(kind, len(spans))
    return page.text


def _leftovers(page: Page) -> list[Span]:
    """Spans outside the work: a cut may leave two halves of a closing line, or a header at the top."""
    return _outside(page, _read(page).zones)


def _outside(page: Page, zones: list[Span]) -> list[Span]:
    inside = [0, *(edge for zone in zones for edge in zone), len(page.text)]
    return [(start, end) for start, end in zip(inside[::2], inside[1::2], strict=True) if start < end]


def _residue(page: Page) -> list[Span]:
    """Spans that still name the project: the whole paragraph where it is short, else the sentence."""
    text = page.text
    spans: list[Span] = []
    for at in page.places(NAME_HINTS):
        window = max(0, at - 24)
        match = next((m for m in _TRADEMARK.finditer(text, window, at + 60) if m.end() > at), None)
        if match and not (spans and match.end() <= spans[-1][1]):
            spans.append(_passage(text, match.start(), match.end()))
    return spans


def _passage(text: str, start: int, end: int) -> Span:
    first, last = paragraph_at(text, start)
    if text.count("\n", first, last) < _PARAGRAPH_TO_CUT:
        closing_line = text.rfind("\n", first, start) + 1
        if closing_line > first and _CLOSING.match(text, closing_line):
            return closing_line, last  # "End of ..." set right under the last paragraph of the book
        return first, last
    before = max(text.rfind(". ", first, start), text.rfind(".\n", first, start))
    after = min((p for p in (text.find(". ", end, last), text.find(".\n", end, last)) if p >= 0), default=last - 1)
    return (first if before < 0 else before + 1), after + 1


def _in_text(find: Callable[[str], list[Span]]) -> Callable[[Page], list[Span]]:
    return lambda page: find(page.text)


# What is cut from a work, and how it is found. What needs the others' work done, or costs most, stands last.
_SEARCHES: tuple[tuple[str, Callable[[Page], list[Span]]], ...] = (
    ("illustrations", furniture.pictures),
    ("transcriber_notes", furniture.bracketed_notes),
    ("page_marks", furniture.page_marks),
    ("legal_notices", furniture.legalese),
    ("transcriber_notes", furniture.transcriber_notes),
    ("trademark_passages", _residue),
    ("credits", _in_text(furniture.credits_at_start)),
    ("credits", _in_text(furniture.credits_at_end)),
    ("credits", furniture.edition_notes),
    ("imprints", _in_text(furniture.imprints)),
    ("contents", contents.contents),
    ("leftovers", _leftovers),
)


@dataclass
class _Reading:
    """A walk over a file's events: inside the work since `start`, or, where that is None, between or behind works."""

    start: int | None
    marks: set[str]
    zones: list[Span] = field(default_factory=list)
    closing: str = ""
    dropped: int = 0  # letters left out behind an END marker that do not look like a licence

    def take(self, text: str, events: list[_Event], number: int) -> None:
        event = events[number]
        if event.kind == "closing" and not self.closing:
            self.closing = text[event.start : paragraph_at(text, event.start)[1]]
        if self.start is None:
            self.start = event.end if _opens(text, events, number, REOPEN_LETTERS) else None
        elif event.kind == "open":
            # A second START soon after the first still belongs to the header; later it opens the next work.
            if _letters(text[self.start : event.start]) > SHORT_LETTERS:
                self.zones.append((self.start, event.start))
            self.start = event.end
        elif _closes(text, event):
            self.zones.append((self.start, event.start))
            self.start = None
        else:
            return
        self.marks.add(event.kind)

    def finish(self, text: str, events: list[_Event]) -> None:
        if self.start is not None:
            self.zones.append((self.start, len(text)))
        elif events and not _is_boilerplate(text[events[-1].end :]):
            self.dropped = _letters(text[events[-1].end :])


def _read(page: Page) -> _Reading:
    """The spans of the work, its first closing line and the kinds of mark seen."""
    text = page.text
    events = _events(page)
    opening = _first_opening(text, events)
    start = opening.end if opening else _guessed_header_end(text, events)
    reading = _Reading(start, {opening.kind if opening else "header"} if start else set())
    for number, event in enumerate(events):
        if event.start >= start:
            reading.take(text, events, number)
    reading.finish(text, events)
    return reading


def _first_opening(text: str, events: list[_Event]) -> _Event | None:
    """The event that ends the header: the last START marker or small print before the work, None without either."""
    found = None
    for number, event in enumerate(events):
        if event.kind in ("close", "closing") or (found and event.start - found.end > SHORT_TAIL):
            break
        if event.kind in ("open", "print_end") and _opens(text, events, number, MIN_LETTERS):
            found = event
    return found


def _opens(text: str, events: list[_Event], number: int, letters: int) -> bool:
    """START always opens; the end of small print does where a text and not more licence follows it."""
    event = events[number]
    if event.kind != "print_end":
        return event.kind == "open"
    hard = (later.start for later in events[number + 1 :] if later.kind in ("open", "close", "print_start"))
    following = text[event.end : next(hard, len(text))]
    return _letters(following[:20000]) >= letters and not _is_boilerplate(following)


def _closes(text: str, event: _Event) -> bool:
    """END markers and small print always close; a closing line or licence phrase does where little else follows."""
    if event.kind in ("close", "print_start", "print_end"):
        return True
    rest = text[event.start :]
    return len(rest) < SHORT_TAIL or _is_boilerplate(rest)


def _events(page: Page) -> list[_Event]:
    """Markers in the order of the text."""
    text = page.text
    places = [*page.places(MARKER_HINTS), *page.places(TAIL_PHRASES, max(0, len(text) - TAIL))]
    starts = {text.rfind("\n", 0, at) + 1 for at in places}
    # A closing line may wrap inside the name, so the line above a hit is asked as well.
    starts |= {text.rfind("\n", 0, start - 1) + 1 for start in starts if start}
    return [event for start in sorted(starts) if (event := _event_at(text, start))]


def _event_at(text: str, start: int) -> _Event | None:
    """The event that the line starting at `start` opens, if any."""
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    line = text[start:line_end]
    if _PRINT_END.match(line):
        return _Event(start, line_end, "print_end")
    if _PRINT_START.match(line):
        return _Event(start, line_end, "print_start")
    marker = _marker_kind(text, start, line_end)
    if marker:
        return _Event(start, _marker_end(text, start, line_end), marker)
    if _CLOSING.match(text, start, start + 200):
        return _Event(start, line_end, "closing")
    if any(phrase in line for phrase in TAIL_PHRASES):
        return _Event(start, line_end, "licence")
    return None


def _marker_kind(text: str, start: int, line_end: int) -> str | None:
    """ "open" or "close" for START/END OF markers, starred or in capitals, spelled right or not."""
    following = text.find("\n", line_end + 1)
    both = text[start : len(text) if following < 0 else following]
    match = _MARKER.match(both) if _MARKER.match(text, start, line_end) else None
    if match is None or not _MARKER_NAME.search(match[2]) or _NOT_MARKER.search(match[2]):
        return None
    line = text[start:line_end]
    letters = [c for c in line if c.isalpha()]
    shouted = sum(c.isupper() for c in letters) > 0.7 * len(letters)
    if not (shouted or "**" in line):
        return None
    return "close" if match[1].upper() == "END" else "open"


def _marker_end(text: str, start: int, line_end: int) -> int:
    """The end of the marker's last line: where a starred marker wraps, up to the line that ends in stars."""
    end = line_end
    for _ in range(MARKER_LINES):
        if text[start:end].rstrip().endswith("*") or text[end + 1 : end + 2] in ("", "\n"):
            break
        following = text.find("\n", end + 1)
        end = len(text) if following < 0 else following
    else:
        return line_end
    return end if text[start:end].rstrip().endswith("*") else line_end


def _guessed_header_end(text: str, events: list[_Event]) -> int:
    """Where a header without any marker ends: after its last header-like paragraph. 0 where there is no header."""
    first_end = paragraph_at(text, 0)[1]
    if not (_HEADER_EVIDENCE.search(text[:1500]) and _HEADER_OPENING.search(text, 0, first_end)):
        return 0
    if furniture.is_note_heading(text):
        return 0
    hard = (event.start for event in events if event.kind in ("close", "closing"))
    limit = next(hard, len(text))
    end = misses = 0
    for number, (first, last) in enumerate(paragraphs(text[:limit])):
        if _HEADER_FIELD.match(text, first, last) or _HEADER_WORD.search(text, first, last):
            end, misses = last, 0
        else:
            misses += 1
        if misses > _HEADER_GAP or number > _HEADER_PARAGRAPHS:
            break
    return end


def _is_boilerplate(text: str) -> bool:
    """True where at least half of the text's first 12,000 characters stand in paragraphs with licence words."""
    sample = text[:12000].lower()
    spans = list(paragraphs(sample))
    total = sum(end - start for start, end in spans)
    licence = sum(end - start for start, end in spans if _BOILER.search(sample, start, end))
    return not total or licence >= 0.5 * total


def _letters(text: str) -> int:
    """Letters in the first 8,000 characters: enough to tell a work from a leftover."""
    return sum(map(str.isalpha, text[:8000]))
