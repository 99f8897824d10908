"""Chapter and section headings in plain text and Markdown. What a heading means for a cut is windows.py's business."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_NAMED = r"(?i:chapter|book|part|section|letter|act|scene|canto|volume|preface|introduction|appendix|conclusion)"
_HEADING = re.compile(
    r"^[ \t]*(?:"
    r"(?P<markdown>\#{1,6}[ \t]+\S[^\n]{0,118})"
    rf"|(?P<named>{_NAMED}\b[^\n]{{0,70}})"
    r"|(?P<roman>[IVXLC]{1,7}\.?)"
    r"|(?P<capitals>[A-Z][A-Z0-9 ,.;:'’\"“”&!?-]{2,70})"
    r")[ \t]*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Headings:
    """The headings of one text in order. `starts[i]` is the first character of `names[i]` (0-based)."""

    starts: tuple[int, ...]
    names: tuple[str, ...]

    def at(self, position: int) -> str:
        """The heading in force at a character: the last one that starts at or before it, "" before the first."""
        index = bisect_right(self.starts, position)
        return self.names[index - 1] if index else ""


def find_headings(text: str) -> Headings:
    """Lines that stand alone between blank lines and read like a heading; Markdown headings need no blank lines."""
    found = [match for match in _HEADING.finditer(text) if match["markdown"] or _stands_alone(text, match)]
    starts = tuple(match.start() + len(match[0]) - len(match[0].lstrip()) for match in found)
    return Headings(starts, tuple(match[0].strip().lstrip("# ").strip() for match in found))


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 80) : match.start()].rstrip(" \t")
    after = text[match.end() : match.end() + 80].lstrip(" \t")
    opens = not before or before.endswith("\n\n") or not before.strip()
    return opens and (not after or after.startswith("\n\n") or not after.strip())
