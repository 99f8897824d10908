"""What an edition adds inside a book: illustration tags, page marks, transcribers' notes, credits. Not the header.

Every function takes tidy text (line feeds, no trailing spaces) and returns the spans to cut, so that the caller
counts what went. A span is half-open, in characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from twainbot.corpora.page import EDITION_HINTS, LEGAL_HINTS, NOTE_HINTS, Page, Span

MAX_BRACKET = 4000  # characters of the longest caption or bracketed note seen (2,300), with room
MAX_LEGALESE = 2000  # characters of such a notice; those of the plays have 700
MAX_CREDIT = 900  # characters of a credit paragraph; a longer one is prose that happens to start alike
MAX_NOTE_LINES = 80  # lines of a transcriber's note before the text begins; a longer one is cut only in part
FRONT_PARAGRAPHS = 24  # how far into a text credits are looked for: title page and dedication come between
MAX_EDITION_NOTE = 160  # characters
MAX_IMPRINT_LINES = 9
MAX_FIRM_LINES = 3
MAX_LINE = 76  # characters of a line of display type or of a notice
MIN_PROSE = 100  # characters of a paragraph that may be prose
PROSE_PARAGRAPHS = 2  # of them, and the book has begun: one can be a motto
DISPLAY_LINE = 48  # characters a line on average: a title page is set short, a paragraph of prose runs to 65
PROSE = 500  # characters: from the first paragraph as long as this the book has begun

_BRACKET = re.compile(
    r"\[[_*]?(?:(?:Illustration|Illustrator|Transcribers?|Transcription|TN(?=:)|Ebook|E-?text)\b"
    r"|(?:End|Beginning) of (?:the )?tran?s?crip|From an? [^\[\]\n]{0,24}edition\])",
    re.IGNORECASE,
)
_ILLUSTRATION = re.compile(r"\[(?:_|\*)?Illustration\b", re.IGNORECASE)
_PAGE_TAG = re.compile(r"\[[ ]?(?:P|p)(?:g|age|ag|G|AGE)?\b\.?[ ]*[0-9ivxlcIVXLC]+[ab]?[ ]?\]")
_PAGE_BRACE = re.compile(r"\{(?:(?:P|p)(?:g|age|G|AGE)?\b\.?[ ]*)?[0-9ivxlc]+[ab]?\}")

_NOTE_HEADING = re.compile(
    r"[\W_]*(?:e-?text\s+)?transcri(?:ber|ption|be)\W{0,2}s?\W{0,2}\s*+(?:(?:end|foot)-?\s*+|-\s*+)?(?:notes?|comments?|remarks?)\b",
    re.IGNORECASE,
)
_NOTE_WORDS = re.compile(
    r"typograph|misprint|misspell|spelling|hyphenat|punctuation|\bchanged (?:to|from)\b|\bcorrected\b|obvious (?:err|print)"
    r"|\bitalic|underscore|\bbold\b|_[a-z ]+_ to|small caps|upper ?case|transcri|e-?text|e-?book|proofread"
    r"|\boriginal (?:text|book|edition|spelling|page|print)|footnotes? (?:have|has|were|was|are)|moved to"
    r"|(?:beginning|end) of (?:the|this) (?:book|text|volume|chapter)|cover image|page numbers?|\bhtml\b|unicode"
    r"|(?:^|\n)[^\w\n]*(?:on )?page \d+|printer'?s error|inconsisten|retained|archaic",
    re.IGNORECASE,
)
_VERB = (
    r"(?:produced|prepared|transcribed|scanned|proofed|proofread|typed|typeset|keyed|digiti[sz]ed|converted|created"
    r"|entered|compiled|encoded)"
)
_EDITION = (
    r"(?:e-?texts?|e-?book|html|(?:electronic|online)\s+(?:text|book|edition|version)"
    r"|(?:text|html|ascii)\s+(?:file|version))"
)
_CREDIT = re.compile(
    rf"[\W_]*(?:{_VERB}(?:\s+(?:and|&)\s+\w+)*\s+(?:by|from|for)\s+(?:an?\s+|the\s+)?(?-i:[\"“A-Z0-9])"
    rf"|(?:this|the)\s+(?:project\s+gutenberg\s+)?{_EDITION}\b[^.]{{0,60}}\b{_VERB}\b"
    rf"|(?:e-?text|e-?book|html(?:\s+version)?|edition\s+\d+)\b[^.]{{0,40}}\b{_VERB}\b"
    r"|credits?:\s|note:\s+(?:images|project\s+gutenberg|the\s+original|this\s+e-?(?:text|book))"
    r"|images\s+of\s+the\s+original\s+pages|more information about this book is at the top"
    r"|\[?(?:e-?text|e-?book)\s+(?:no|number)?\.?\s*#?\d+)",
    re.IGNORECASE,
)
_CREDIT_ANYWHERE = re.compile(
    r"pgdp\.net|distributed\s+proofread|proofreading\s+team|internet\s+wiretap|\be-?text\b|\be-?book\b|\bPG\s+volunteer|archive\.org/"
    r"|hathitrust|books\.google|images\s+(?:generously\s+)?(?:made\s+available|provided)|the\s+internet\s+archive"
    # the maker's address: alone on a line, or behind "scanned by"
    r"|(?m:^)(?:[^\w\n]|_)*+[\w.+-]+@[\w-]+\.[\w.]++[\W_]*+$"
    r"|\b(?:scanned|proofed|transcribed|produced|entered|typed)\b[^.]{0,60}\bby\b[^.]{0,80}[\w.+-]@[\w-]",
    re.IGNORECASE,
)
# The maker of an edition names the printed book that words or pictures come from.
_EDITION_NOTE = re.compile(
    r"[\W_]*(?:the\s+)?(?:illustrations|images)\s+(?:are\s+|were\s+)?taken\s+from", re.IGNORECASE
)
_IMPRINT = re.compile(
    r"\bcopyright(?:ed)?\b[\W_]*(?:\(c\)\W*)?(?:by|in|1[5-9]\d\d|secured)\b|\ball\s+rights\s+reserved|\brights?\s+of\s+(?:dramati|transl|reprod)"
    r"|\bentered,?\s+according\s+to\s+(?:the\s+)?act\s+of|\bstationers['’]?s?\s+hall|\bprinted\s+(?:in|by|for|at|and\s+(?:published|bound|sold))\b"
    r"|\b(?:first|second|third|fourth|fifth|\d+(?:st|nd|rd|th))\s+(?:edition|impression|printing)|\bfirst\s+(?:published|printed)\b"
    r"|\bpublished\s+(?:by|in|for|and\s+sold)\b|\bpress\s+of\b|\btypograph(?:y|ed)\s+by\b|\belectrotyped\b|\bset\s+up\s+and\s+",
    re.IGNORECASE,
)
_PUBLISHER = re.compile(
    r"\b(?:company|co\b\.?|publish(?:ers?|ing)|press|& sons?|booksellers?|printers?)\b|& \w+|['’]s sons\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(?:new york|london|boston|philadelphia|chicago|hartford|edinburgh|toronto|san francisco|paris|leipzig"
    r"|1[5-9]\d\d|mdccc[ivxlc]+)\b",
    re.IGNORECASE,
)
_PLACE_ALONE = re.compile(
    r"[\W_]*(?:new york|london|boston|philadelphia|chicago|hartford|edinburgh|toronto|san francisco|printed)[\W_]*$",
    re.IGNORECASE,
)
_BEGINS = re.compile(
    r"[\W_]*(?:chapter|book|part|act|scene|canto|letter|section|stave)\s+(?:[ivxl\d]+|the\s+\w+|one|first)\b"
    r"|[\W_]*(?:[IVX]+|1)\.?\W*$|[\W_]*(?:the\s+|author['’]s\s+)?(?:preface|introduct|foreword|prologue|explanatory)",
    re.IGNORECASE,
)
_RIGHTS_WORD = re.compile(r"copyright|\brights\b|act of congress", re.IGNORECASE)
_DATE_ALONE = re.compile(r"[\W_]*(?:[A-Z][a-z]+,?\s+(?:\d{1,2},\s+)?)?1[5-9]\d\d[\W_]*$|[\W_]*M[DCLXVI]{4,12}[\W_]*$")
_SEPARATOR = re.compile(r"[\s*_=~#.+-]+$")
_RULE_LINE = re.compile(r"\n[ \t]*[*=_-]{3,}[ \t]*(?:\n|$)")


def pictures(page: Page) -> list[Span]:
    """Spans of [Illustration...], each to its own closing bracket. A bracket that never closes takes its line only."""
    return [(start, end) for start, end in _brackets(page) if _ILLUSTRATION.match(page.text, start)]


def bracketed_notes(page: Page) -> list[Span]:
    """Spans of [Transcriber's note...] and [End of transcription], each to its own closing bracket."""
    return [(start, end) for start, end in _brackets(page) if not _ILLUSTRATION.match(page.text, start)]


def _brackets(page: Page) -> Iterator[Span]:
    """The outer brackets of both kinds, in order; nested ones lie inside."""
    end = 0
    for start in page.brackets:
        if start >= end and _BRACKET.match(page.text, start):
            end = _closing_bracket(page.text, start)
            yield start, end


def _closing_bracket(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"[\[\]]").finditer(text, start, start + MAX_BRACKET):
        depth += 1 if match[0] == "[" else -1
        if depth == 0:
            return match.end()
    line_end = text.find("\n", start)
    return len(text) if line_end < 0 else line_end


def page_marks(page: Page) -> list[Span]:
    """Spans of [Pg 12] and [Page xii] anywhere, and of {12} where it has a line for itself, not indented.

    An inline {12} stays, since several editions number their footnotes so; Franklin's daily table has it indented.
    """
    text = page.text
    tags = [match.span() for at in page.brackets if (match := _PAGE_TAG.match(text, at))]
    braces = [match.span() for match in _PAGE_BRACE.finditer(text)] if "{" in text else []
    ends = ("", "\n")
    return tags + [(a, b + 1) for a, b in braces if text[a - 1 : a] in ends and text[b : b + 1] in ends]


def legalese(page: Page) -> list[Span]:
    """Spans of the <<THIS ELECTRONIC VERSION OF ... >> notices that stand between acts of some old plays."""
    spans: list[Span] = []
    for at in page.places(LEGAL_HINTS):
        end = page.text.find(">>", at, at + MAX_LEGALESE)
        if end >= 0 and (not spans or at >= spans[-1][1]):
            spans.append((at, end + 2))
    return spans


def paragraphs(text: str, start: int = 0) -> Iterator[Span]:
    """Spans of paragraphs: lines up to a blank one, in order, without the line feeds around them."""
    size = len(text)
    while start < size:
        while start < size and text[start] == "\n":
            start += 1
        end = text.find("\n\n", start)
        end = size if end < 0 else end
        if start < size:
            yield start, end
        start = end


def transcriber_notes(page: Page) -> list[Span]:
    """Spans of transcribers' notes that stand as paragraphs: a heading with its notes, a boxed note, a note alone."""
    spans: list[Span] = []
    text = page.text
    done = 0
    for at in page.places(NOTE_HINTS):
        start, end = paragraph_at(text, at)
        if at >= done and _NOTE_HEADING.match(text, start, end):
            done = _note_end(text, start, end)
            spans.append((start, done))
    return spans


def is_note_heading(text: str) -> bool:
    """True where the text opens with the heading of a transcriber's note."""
    return bool(_NOTE_HEADING.match(text))


def _note_end(text: str, start: int, end: int) -> int:
    """Where a note ends. A bare heading owns the paragraphs under it, to the end of its section near a book's end."""
    bare = "\n" not in text[start:end] and len(text[start:end]) < 60
    if bare and start > 0.75 * len(text):
        return _last_section_end(text, end)
    owned = bare
    for first, last in paragraphs(text, end):
        gap = text.count("\n", end, first)
        near = text.count("\n", start, last) <= MAX_NOTE_LINES
        if not near or gap > 3 or not (owned or _NOTE_WORDS.search(text, first, last)):
            break
        owned, end = False, last
    return end


def _last_section_end(text: str, end: int) -> int:
    """The end of the section that a heading opens (three blank lines close it), and of note-like sections after it."""
    section_end = _gap_after(text, end)
    if not text[end:section_end].strip():
        section_end = _gap_after(text, section_end + 4)
    while section_end < len(text):
        following = _gap_after(text, section_end + 4)
        if not _NOTE_WORDS.search(text, section_end, following):
            break
        section_end = following
    return section_end


def _gap_after(text: str, at: int) -> int:
    gap = text.find("\n\n\n\n", at)
    return len(text) if gap < 0 else gap


def credits_at_start(text: str) -> list[Span]:
    """Spans of "Produced by ...", "E-text prepared by ..." and their like before the book's first long paragraph."""
    spans: list[Span] = []
    for number, (start, end) in enumerate(paragraphs(text)):
        if is_credit(text, start, end):
            spans.append((start, _credit_end(text, start, end)))
        elif _SEPARATOR.match(text, start, end) and (start == 0 or (spans and text[spans[-1][1] : start].isspace())):
            spans.append((start, end))
        elif end - start > PROSE or number >= FRONT_PARAGRAPHS:
            break
    return spans


def credits_at_end(text: str) -> list[Span]:
    """Spans of credit paragraphs and bare separators at the very end, last first."""
    spans: list[Span] = []
    end = len(text)
    while end > 0:
        start, end = paragraph_at(text, end - 1)
        if not (is_credit(text, start, end) or _SEPARATOR.match(text, start, end)):
            break
        spans.append((start, end))
        end = len(text[:start].rstrip("\n"))
    return spans


def edition_notes(page: Page) -> list[Span]:
    """Spans of short paragraphs in which the maker names the printed edition that pictures or words were taken from."""
    spans: list[Span] = []
    for at in page.places(EDITION_HINTS):
        start, end = paragraph_at(page.text, at)
        if end - start <= MAX_EDITION_NOTE and _EDITION_NOTE.match(page.text, start, end):
            spans.append((start, end))
    return spans


def imprints(text: str) -> list[Span]:
    """Spans of copyright notices, publishers and printers between the title and the first page of prose.

    The first paragraph is the title and stays. A place, a year or a firm alone on its line goes with a notice beside it,
    and a firm with its place or year is one.
    """
    front: list[tuple[Span, str]] = []
    prose = 0
    for number, (start, end) in enumerate(paragraphs(text)):
        kind = _imprint_kind(text[start:end]) if number else "no"
        prose += kind == "no" and end - start >= MIN_PROSE and _is_set_wide(text[start:end])
        if (
            prose == PROSE_PARAGRAPHS
            or end - start > PROSE
            or number >= FRONT_PARAGRAPHS
            or _BEGINS.match(text, start, end)
        ):
            break
        front.append(((start, end), kind))
    spans: list[Span] = []
    for found, group in groupby(front, key=lambda entry: entry[1] != "no"):
        members = list(group)
        kinds = {kind for _, kind in members}
        if found and ("notice" in kinds or kinds == {"firm", "beside"}):
            spans += [span for span, _ in members]
    return spans


def _is_set_wide(paragraph: str) -> bool:
    return len(paragraph) > DISPLAY_LINE * (paragraph.count("\n") + 1)


def _imprint_kind(paragraph: str) -> str:
    """ "notice", "firm" or "beside" (a place or a year), which go with what stands next to them, or "no"."""
    lines = paragraph.split("\n")
    if len(lines) > MAX_IMPRINT_LINES or max(map(len, lines)) > MAX_LINE:
        return "no"
    if len(lines) > 1 and _is_set_wide(paragraph) and not _RIGHTS_WORD.search(paragraph):
        return "no"
    if _IMPRINT.search(paragraph) or (_PUBLISHER.search(paragraph) and _PLACE.search(paragraph)):
        return "notice"
    if _DATE_ALONE.match(paragraph) or _PLACE_ALONE.match(paragraph):
        return "beside"
    return "firm" if len(lines) <= MAX_FIRM_LINES and _PUBLISHER.search(paragraph) else "no"


def is_credit(text: str, start: int, end: int) -> bool:
    """True where the paragraph credits the makers of an electronic edition."""
    if end - start > MAX_CREDIT:
        return False
    return bool(_CREDIT.match(text, start, end) or _CREDIT_ANYWHERE.search(text, start, end))


def _credit_end(text: str, start: int, end: int) -> int:
    """A rule of stars inside the paragraph ends the credit: what follows it is the book's title."""
    rule = _RULE_LINE.search(text, start, end)
    return rule.end() if rule else end


def paragraph_at(text: str, at: int) -> Span:
    """The span of the paragraph that holds character `at`, without the line feeds around it."""
    before = text.rfind("\n\n", 0, at + 1)
    start = 0 if before < 0 else before + 2
    after = text.find("\n\n", at)
    end = len(text) if after < 0 else after
    return start, end
