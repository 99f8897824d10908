"""Where a reply writes data and no words: JSON, whole or cut off, and fields under the names that a tool gives them.

A model that repeats the tool's answer errs in no figure and states all of the weather, and has told nobody anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

# An object or a list of objects that begins; or one field: a quoted name before a JSON value, a name with an underscore.
_QUOTED = r"""(?:"[A-Za-z_][\w ]{0,40}"|'[A-Za-z_][\w ]{0,40}')"""
_MACHINE = r"(?<!\w)[A-Za-z][A-Za-z0-9]{0,30}(?:_[a-z0-9]{1,30}){1,6}(?!\w)"
_JSON = r"""(?:"[^"\n]{0,200}"?|-?\d[\d.]{0,20}|true\b|false\b|null\b|\[[^\]\n]{0,200}\]?)"""
_OBJECT = re.compile(rf"""\{{\s{{0,9}}(?:{_QUOTED}|[A-Za-z]\w{{0,40}})\s{{0,9}}:|\[\s{{0,9}}\{{""")
_FIELD = re.compile(
    rf"{_QUOTED}\s{{0,9}}:\s{{0,9}}{_JSON}|{_MACHINE}\s{{0,9}}[:=]\s{{0,9}}(?:{_JSON}|[^,;{{}}\n]{{1,80}})"
)
_CLOSES = {"{": "}", "[": "]"}


class Placed(Protocol):
    """Something found in a reply: characters `start` to `end`, half-open."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


Found = TypeVar("Found", bound=Placed)


def data_spans(reply: str) -> list[tuple[int, int]]:
    """Characters of the reply that are data, half-open, in order. An object that is not closed goes on to the end."""
    spans: list[tuple[int, int]] = []
    at = 0
    while match := _OBJECT.search(reply, at):
        end = _end(reply, match.start())
        spans.append((match.start(), end))
        at = end
    gaps = zip([0, *(end for _, end in spans)], [*(start for start, _ in spans), len(reply)], strict=True)
    spans += [found.span() for start, end in gaps for found in _FIELD.finditer(reply, start, end)]
    return sorted(spans)


def in_words(reply: str, found: Sequence[Found]) -> list[Found]:
    """Of what was found in a reply, such as claims, that which its words say and not only its data."""
    spans = data_spans(reply)
    return [each for each in found if not any(lo <= each.start < hi for lo, hi in spans)]


def _end(text: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`, brackets within quotes aside; the text's end where none does."""
    awaited: list[str] = []
    quoted = False
    place = start
    while place < len(text):
        letter = text[place]
        if letter == "\\" and quoted:
            place += 1
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in _CLOSES:
            awaited.append(_CLOSES[letter])
        elif not quoted and awaited and letter == awaited[-1]:
            awaited.pop()
            if not awaited:
                return place + 1
        place += 1
    return len(text)
