"""Two normal forms of a text: `tidy`, which is stored, and `fold`, which is compared. Neither knows a source.

Stored text keeps its line breaks (spans stay stable, verse stays verse); only what no reader sees is evened out.
"""

from __future__ import annotations

import re
import unicodedata

# Part of every dedupe signature scheme: change `fold` and this number together, or old signatures would still join.
NORMALISER_VERSION = 1

MAX_BLANK_LINES = 3  # Gutenberg sets four or more between parts of a book; three keep the break and cost fewer tokens

_BREAKS = "\f\v\x85\u2028\u2029"
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u00ad"  # byte order marks, zero-width characters, soft hyphens
_CONTROLS = "".join(map(chr, [*range(9), *range(14, 32), 127, *range(128, 133), *range(134, 160)]))
_ODD = dict.fromkeys(_SPACES, " ") | dict.fromkeys(_INVISIBLE + _CONTROLS, "")
_COMMON_BYTES = bytes([10, 13, *range(32, 127)])  # what nearly all of a text is made of: line ends and printable ASCII
_WIDE_GAP = re.compile("\n" * (MAX_BLANK_LINES + 2) + "+")

# How the first byte of a character in UTF-8 looks as Windows-1252, and what the second one looks like there or in Latin-1.
_LEADS = "ÂÃÄÅÎÏÐÑÒØÙáâãäåæéèïð"
_C1 = "".join(map(chr, range(0x80, 0xA0)))
_MOJIBAKE = re.compile(f"[{_LEADS}][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|[ÂÃ] ")
_LEADS_ONLY = re.compile(f"[{_LEADS}]{{16}}")  # ftfy takes them off one by one, each time from the start
MOST_MISREADINGS = 4  # one upon the other; a text misread more often is not worth saving

_QUOTES = "‘’‚‛′`´ʼ"
_DOUBLE_QUOTES = "“”„‟″«»"
_DASHES = "‐‑‒–—―−"  # hyphen to horizontal bar, and the minus sign
_PLAIN = str.maketrans(
    _QUOTES + _DOUBLE_QUOTES + _DASHES, "'" * len(_QUOTES) + '"' * len(_DOUBLE_QUOTES) + "-" * len(_DASHES)
)
_SPACE_RUN = re.compile(r"\s+")
_DASH_RUN = re.compile(r"-{2,}")


def newlines(text: str) -> str:
    """The same text with every line end (CRLF, CR CR LF, CR, form feed, U+2028) as one line feed."""
    return _newlines(text, rare_characters(text))


def _newlines(text: str, rare: frozenset[str]) -> str:
    while "\r\n" in text:  # twice for CR CR LF
        text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = text.replace("\r", "\n")
    for mark in _BREAKS:
        if mark in rare:
            text = text.replace(mark, "\n")
    return text


def rare_characters(text: str) -> frozenset[str]:
    """The characters of a text that are neither line ends nor printable ASCII.

    Deleting the common bytes first makes it ten times as fast as a set of all characters.
    """
    rest = text.encode("utf-8", "surrogatepass").translate(None, _COMMON_BYTES)
    return frozenset(rest.decode("utf-8", "surrogatepass"))


def tidy(text: str) -> str:
    """The stored form: NFC, line feeds, no trailing spaces, at most 3 blank lines in a row, none at either end.

    Indentation and line breaks stay. tidy(tidy(x)) == tidy(x).
    """
    rare = rare_characters(text)
    if not rare.isdisjoint(_LEADS) and not rare.isdisjoint(_C1):  # what follows would delete the half of "â\x80\x99"
        text, _ = mended(text)
        rare = rare_characters(text)
    text = _newlines(text, rare)
    for odd in sorted(rare & _ODD.keys()):
        text = text.replace(odd, _ODD[odd])
    if not all(map(_is_inert, rare)) and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return squeeze(text, tabs="\t" in rare)


def mended(text: str) -> tuple[str, int]:
    """UTF-8 that was read as Windows-1252 or Latin-1 ("â€™", "Ã©") put right line by line, and how many lines were.

    Whether a line is such is ftfy's judgement; only lines that hold a first byte with a second one behind it are shown to it.
    """
    if text.isascii() or not _MOJIBAKE.search(text):
        return text, 0
    lines = text.split("\n")
    fixed = [_mended_line(line) if _MOJIBAKE.search(line) else line for line in lines]
    return "\n".join(fixed), sum(new != old for new, old in zip(fixed, lines, strict=True))


def _mended_line(line: str) -> str:
    import ftfy

    for _ in range(MOST_MISREADINGS):
        fixed = line if _LEADS_ONLY.search(line) else ftfy.fix_encoding(line)
        if fixed == line:
            break
        line = fixed
    return line


def squeeze(text: str, *, tabs: bool = True) -> str:
    """`tidy` for text that is tidy but for a cut: trailing spaces and wide gaps go, characters are left alone.

    `tabs`: whether the text may hold any; looking for one costs a pass over it.
    """
    if " \n" in text or (tabs and "\t\n" in text):
        text = "\n".join([line.rstrip() for line in text.split("\n")])
    return _WIDE_GAP.sub("\n" * (MAX_BLANK_LINES + 1), text.rstrip()).strip("\n")


def _is_inert(character: str) -> bool:
    """True for Latin-1, Latin Extended and the typographic marks: NFC changes none of them, in whatever order they come."""
    return character < "\u0300" or "\u2010" <= character <= "\u2027"


def fold(text: str) -> str:
    """The compared form: NFKC, case folded, quotes and dashes made plain, every run of white space one space.

    Two editions of a sentence that differ in case, typography or line breaks fold to the same string.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)
    folded = _DASH_RUN.sub("-", folded)  # typists wrote one dash as two hyphens, typesetters as U+2014
    return _SPACE_RUN.sub(" ", unicodedata.normalize("NFKC", folded)).strip()
