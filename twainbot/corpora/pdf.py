"""PDF files with a text layer to running text: headers and page numbers gone, words at line ends whole.

Scans, protected and damaged files are refused in plain words: half a text would be learnt as if it were whole.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twainbot.corpora.normalize import fold, tidy
from twainbot.errors import UnreadableSource

MAX_PAGES = 5_000  # the longest printed books have about 3,000
MAX_CHARACTERS = 50_000_000
FURNITURE_LINES = 2  # at either end of a page, where headers and numbers stand
FURNITURE_PAGES = 3  # a line on fewer pages is text
FURNITURE_SHARE = 0.4  # left and right pages carry different headers, and first pages of chapters none

_START_XREF = re.compile(rb"startxref\s+(\d{1,12})\s*")
_TABLE = re.compile(rb"\s*(?:xref\b|\d+\s+\d+\s+obj\b)")
_BROKEN_WORD = re.compile(r"(?<!\w)(\w*[^\W\d_])-\n([a-zà-ÿ]\w*)(\S*)(?:[ \n]|$)")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_HYPHENS = re.compile("[\u00ad\u2010]\\n")  # at a line's end they divide a word as "-" does
_NUMBER = re.compile(r"\d+")
_ROMAN = re.compile(r"[\W_]*([ivxlc]{1,8})[\W_]*", re.IGNORECASE)
_ENDS = re.compile(r"[.!?:;][\"'”’)\]]*$")
_NO_TITLE = re.compile(
    r"^\s*(?:untitled.*|microsoft word - .*|.*\.(?:docx?|pdf|indd|tex|dvi|qxd|rtf)|none|title)\s*$", re.IGNORECASE
)


@dataclass(frozen=True)
class Document:
    """A PDF as it reads, and what was done to it."""

    title: str
    author: str
    text: str
    pages: int
    removed_lines: int
    hyphens_mended: int
    warnings: tuple[str, ...]


def read_pdf(raw: bytes) -> Document:
    """Text and metadata of a PDF.

    Raises UnreadableSource for encryption, a broken cross-reference table, more than MAX_PAGES pages, pages that cannot
    be read or were lost, and a file without text (a scan).
    """
    _refuse_broken_xref(raw)
    title, author, pages = _extracted(raw)
    bodies, removed = without_furniture(pages)
    text, mended = whole_words(_joined(bodies))
    text = tidy(text)
    if not any(map(str.isalpha, text)):
        raise UnreadableSource(
            f"The PDF's {len(pages)} pages hold no text: it is a scan. Run text recognition over it first."
        )
    blank = sum(not page.strip() for page in pages)
    notes = [("pages_without_text", blank), ("page_furniture_removed", removed), ("hyphens_mended", mended)]
    warnings = tuple(f"{name}={count}" for name, count in notes if count)
    return Document(title, author, text, len(pages), removed, mended, warnings)


def _refuse_broken_xref(raw: bytes) -> None:
    """Raise where the file's end does not lead to its table: a reader would guess, and may lose pages in silence."""
    head = raw.find(b"%PDF-", 0, 1024)
    if head < 0:
        raise UnreadableSource("The file is no PDF: it does not begin with %PDF. Check its name.")
    places = [int(found[1]) for found in _START_XREF.finditer(raw[-2048:])]
    if not places:
        raise UnreadableSource("The PDF has no end (startxref): it was cut short. Fetch it again.")
    # Offsets count from the header; some writers count from the file's start though bytes stand before it.
    if not any(_TABLE.match(raw, offset) for offset in (places[-1] + head, places[-1])):
        raise UnreadableSource(
            f"The PDF's cross-reference table is broken: nothing is at byte {places[-1]}. Print or save it anew as PDF."
        )


def _extracted(raw: bytes) -> tuple[str, str, list[str]]:
    """Title, author and the text of each page, by pypdf; every fault of the file as one plain error."""
    import pypdf

    noise = logging.getLogger("pypdf")
    level = noise.level
    noise.setLevel(logging.CRITICAL)  # it warns of each repaired comma
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw), strict=False)
        if reader.is_encrypted:
            raise UnreadableSource("The PDF is encrypted. Save a copy without a password.")
        _refuse_page_count(reader)
        title, author = _metadata(reader)
        return title, author, list(_page_texts(reader))
    except UnreadableSource:
        raise
    except Exception as error:  # pypdf: "broken PDF files might cause other Exceptions"
        found = f"{type(error).__name__}: {str(error)[:120]}"
        raise UnreadableSource(f"The PDF cannot be read ({found}). Print or save it anew as PDF.") from error
    finally:
        noise.setLevel(level)


def _refuse_page_count(reader: Any) -> None:
    declared = reader.root_object["/Pages"].get_object().get("/Count", 0)
    if not isinstance(declared, int) or declared > MAX_PAGES:
        raise UnreadableSource(f"The PDF says that it has {declared} pages; at most {MAX_PAGES} are read. Split it.")
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise UnreadableSource(f"The PDF has {count} pages; at most {MAX_PAGES} are read. Split it.")
    if count != declared or not count:
        raise UnreadableSource(f"The PDF says that it has {declared} pages, {count} were found. It is damaged.")


def _metadata(reader: Any) -> tuple[str, str]:
    found = reader.metadata
    title, author = (tidy(str((found.get(key) if found else None) or "")) for key in ("/Title", "/Author"))
    return ("" if _NO_TITLE.match(title) else " ".join(title.split())), " ".join(author.split())


def _page_texts(reader: Any) -> Iterator[str]:
    total = 0
    for page in reader.pages:
        text = tidy(_HYPHENS.sub("-\n", page.extract_text().translate(_LIGATURES)))
        total += len(text)
        if total > MAX_CHARACTERS:
            raise UnreadableSource(
                f"The PDF holds more than {MAX_CHARACTERS:,} characters. It is no document; split it."
            )
        yield text


def without_furniture(pages: Sequence[str]) -> tuple[list[str], int]:
    """Pages without running headers, footers and page numbers, and how many lines went.

    A line is furniture if it stands among the first or last two of at least 3 pages and 40% of all, its numbers either
    the same or counting with the pages. The same words within a page stay.
    """
    lines = [page.split("\n") for page in pages]
    keys = [{i: _keys(page[i], at) for i in _edges(page)} for at, page in enumerate(lines)]
    seen = Counter(key for page in keys for key in set().union(*page.values()))
    least = max(FURNITURE_PAGES, FURNITURE_SHARE * sum(map(bool, keys)))
    furniture = {key for key, count in seen.items() if count >= least}
    gone = [{i for i, forms in page.items() if forms & furniture} for page in keys]
    kept = [
        "\n".join(line for i, line in enumerate(page) if i not in out) for page, out in zip(lines, gone, strict=True)
    ]
    return kept, sum(map(len, gone))


def _edges(page: Sequence[str]) -> list[int]:
    """Where a page's first and last lines with words stand."""
    written = [at for at, line in enumerate(page) if line.strip()]
    return sorted({*written[:FURNITURE_LINES], *written[-FURNITURE_LINES:]})


def _keys(line: str, at: int) -> set[str]:
    """The forms under which a line compares: as it is, and with one number or all as their distance from the page's
    place, so that "Page 3 of 9" and "Page 4 of 9" on the next page are alike.
    """
    roman = _ROMAN.fullmatch(line)
    if roman and roman[1].lower() == _as_roman(_of_roman(roman[1])):
        return {f"roman {_of_roman(roman[1]) - at}"}
    numbers = list(_NUMBER.finditer(line))[:4]
    counted = [f"{line[: n.start()]}#{int(n[0][:9]) - at}{line[n.end() :]}" for n in numbers]
    every = _NUMBER.sub(lambda match: f"#{int(match[0][:9]) - at}", line)
    return {fold(form) for form in (line, every, *counted)}


def _of_roman(numeral: str) -> int:
    worth: dict[str, int] = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
    values = [worth[letter] for letter in numeral.lower()]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < after else value for value, after in pairs)


def _as_roman(number: int) -> str:
    parts = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
    written = ""
    for value, letters in parts:
        written += letters * (number // value)
        number %= value
    return written


def _joined(pages: Sequence[str]) -> str:
    """Pages as one text: a sentence that runs over a page goes on in the next line, else a paragraph ends there."""
    text = ""
    for page in pages:
        body = page.strip("\n")
        if body:
            gap = "\n\n" if _ENDS.search(text.rstrip()) else "\n"
            text = f"{text.rstrip()}{gap}{body}" if text else body
    return text


def whole_words(text: str) -> tuple[str, int]:
    """Words divided at a line's end put together, and how many. A hyphen that the word has elsewhere too stays.

    "rain-\\nstorm" is "rainstorm", unless the text writes "rain-storm" within a line and never "rainstorm".
    """
    words = Counter(re.findall(r"\w+(?:-\w+)*", text.lower()))
    mended = 0

    def put(match: re.Match[str]) -> str:
        nonlocal mended
        mended += 1
        first, second = match[1], match[2]
        hyphened = words[f"{first}-{second}".lower()] > 0 and words[f"{first}{second}".lower()] == 0
        return f"{first}{'-' if hyphened else ''}{second}{match[3]}\n"

    return _BROKEN_WORD.sub(put, text), mended
