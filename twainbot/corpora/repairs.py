"""What a work's text is put right by, once, before any span refers to it; and how many places each repair changed.

What every stored text looks like is normalize.py's `tidy`, which comes last here; what is compared, its `fold`. Why some
repairs are left out: docs/decisions/0016-normalise-once.md.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from twainbot.corpora.normalize import mended, rare_characters, tidy

TEXT_VERSION = "text-1"  # column `normaliser_version` of every work: raise it when a repair changes

# Of NFKC only what one glyph writes for several letters, or a form of a letter that no reader minds: ligatures, the long
# s, Roman numerals of one character, full-width letters and digits. Not superscripts and fractions: 10² is not 102.
_GLYPHS = "".join(
    map(chr, [0x17F, *range(0xFB00, 0xFB07), *range(0x2160, 0x2180), *range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B),
              *range(0xFF41, 0xFF5B)])
)  # fmt: skip
_PLAIN = {ord(glyph): unicodedata.normalize("NFKC", glyph) for glyph in _GLYPHS}
_COUNTED = {
    "line_ends": re.compile("\r+\n?|[\f\v\x85\u2028\u2029]"),
    "invisible": re.compile("[\ufeff\u200b-\u200d\u2060\u00ad]"),
    "glyphs": re.compile(f"[{_GLYPHS}]"),
}
_BREAK = re.compile(r"[-‐]\n[ ]*([^\W\d_]+)(?![\w-])[ ]?")
_BEFORE = re.compile(r"(?<![\w-])[^\W\d_]+$")
MOST_ROUNDS = 4  # of mending and evening out: what is taken away may bring the halves of a misread letter together
LONGEST = 40  # letters of a word's first half


@dataclass(frozen=True)
class Repaired:
    """A text, and by repair the number of places that it changed; repairs that changed none are not listed."""

    text: str
    places: Mapping[str, int]

    def as_json(self) -> str:
        """The places as they stand in the column `repairs`."""
        return json.dumps(self.places, sort_keys=True)


def repaired(text: str) -> Repaired:
    """The text in the stored form. Repairing it again changes nothing; a text with a letter or digit is never emptied."""
    places: Counter[str] = Counter()
    for _ in range(MOST_ROUNDS):
        text, lines = mended(text)
        if places and not lines:
            break
        places["mojibake_lines"] += lines
        text = _evened(text, places)
    text, places["divided_words"] = _joined(text)
    return Repaired(text, {name: number for name, number in places.items() if number})


def _evened(text: str, places: Counter[str]) -> str:
    rare = rare_characters(text)
    for name, pattern in _COUNTED.items():
        if any(map(pattern.match, rare)) or (name == "line_ends" and "\r" in text):
            places[name] += len(pattern.findall(text))
    return tidy(text.translate(_PLAIN) if places["glyphs"] else text)


def _joined(text: str) -> tuple[str, int]:
    """Words that a line's end divides made whole where the text itself writes them whole elsewhere, and with a hyphen nowhere.

    The line breaks after the word: "some-\\nthing else" is "something\\nelse".
    """
    joined = 0
    while "-\n" in text or "‐\n" in text:
        lowered = text.lower()

        @cache
        def is_whole(first: str, second: str, lowered: str = lowered) -> bool:
            return _holds(lowered, first + second) and not _holds(lowered, f"{first}-{second}")

        found, count = text, 0
        for match in reversed(list(_BREAK.finditer(text))):
            before, second = _BEFORE.search(text[max(0, match.start() - LONGEST) : match.start()]), match[1]
            if before and second.islower() and is_whole(before[0].lower(), second):
                found, count = f"{found[: match.start()]}{second}\n{found[match.end() :]}", count + 1
        if not count:
            break
        text, joined = tidy(found), joined + count
    return text, joined


def _holds(text: str, word: str) -> bool:
    """Whether the word stands in the text, with no letter, digit or hyphen before or behind it."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not any(_is_inside(neighbour) for neighbour in (text[at - 1 : at] if at else "", text[end : end + 1])):
            return True
        at = text.find(word, at + 1)
    return False


def _is_inside(neighbour: str) -> bool:
    return neighbour.isalnum() or neighbour in ("-", "_")


def total(repairs: Iterable[str | None]) -> dict[str, int]:
    """The places of many works, from their column `repairs`, by repair."""
    found: Counter[str] = Counter()
    for listed in repairs:
        found.update(json.loads(listed or "{}"))
    return dict(sorted(found.items()))
