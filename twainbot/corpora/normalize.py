"""Two normal forms of a text: `tidy`, which is stored, and `fold`, which is compared. Neither knows a source.

Stored text keeps its line breaks (spans stay stable, verse stays verse); only what no reader sees is evened out.
"""

from __future__ import annotations

import re
import unicodedata

# Part of every dedupe signature scheme: change `fold` and this number together, or old signatures would still join.
NORMALISER_VERSION = 1

MAX_BLANK_LINES = 3  # Gutenberg sets four or more between parts of a book; three keep the break and cost fewer tokens

_BREAKS = "\r\f\v\x85\u2028\u2029"
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u00ad"  # byte order marks, zero-width characters, soft hyphens
_CONTROLS = "".join(map(chr, [*range(9), *range(14, 32), 127, *range(128, 133), *range(134, 160)]))
_ODD = dict.fromkeys(_SPACES, " ") | dict.fromkeys(_INVISIBLE + _CONTROLS, "")
_ODD_ASCII = {odd: plain for odd, plain in _ODD.items() if odd.isascii()}
_WIDE_GAP = "\n" * (MAX_BLANK_LINES + 2)

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
    if "\r" in text:
        text = text.replace("\r\r\n", "\n").replace("\r\n", "\n")
    for mark in _BREAKS:
        if mark in text:
            text = text.replace(mark, "\n")
    return text


def tidy(text: str) -> str:
    """The stored form: NFC, line feeds, no trailing spaces, at most 3 blank lines in a row, none at either end.

    Indentation and line breaks stay. tidy(tidy(x)) == tidy(x).
    """
    text = newlines(text)
    # One C scan per character is still four times as fast as one regular expression or one translate for all.
    for odd, plain in (_ODD_ASCII if text.isascii() else _ODD).items():
        if odd in text:
            text = text.replace(odd, plain)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return squeeze(text)


def squeeze(text: str) -> str:
    """`tidy` for text that is tidy but for a cut: trailing spaces and wide gaps go, characters are left alone."""
    text = text.rstrip()
    if " \n" in text or "\t\n" in text:
        text = "\n".join([line.rstrip() for line in text.split("\n")])
    while _WIDE_GAP in text:
        text = text.replace(_WIDE_GAP, _WIDE_GAP[1:])
    return text.strip("\n")


def fold(text: str) -> str:
    """The compared form: NFKC, case folded, quotes and dashes made plain, every run of white space one space.

    Two editions of a sentence that differ in case, typography or line breaks fold to the same string.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)
    folded = _DASH_RUN.sub("-", folded)  # typists wrote one dash as two hyphens, typesetters as U+2014
    return _SPACE_RUN.sub(" ", unicodedata.normalize("NFKC", folded)).strip()
