"""What the words of many texts say, counted in one pass: each distinct word is looked at once, texts are sums over them.

Which shares are too many is quality.py's, which words matter to the lexicon lexical.py's.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Integers: TypeAlias = np.ndarray[Any, np.dtype[Any]]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Gopher's eight, in bits 0 to 7
# Words that no English passage is without and that few other languages write: not `in`, `so`, `an`, `was`, `die`.
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the be to of and that have with it is he for as his you her had not but by they she at we which this from all would"
        " there their what if when who could been your my were are him them then into its",
    )
)
EDGE = ".,;:!?\"'()[]_*“”‘’"  # not part of a word that is compared
FACTS = 7  # numbers known of a word
MOST_KEPT = 500_000  # distinct words remembered; then they are forgotten
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Counts:
    """Per text, all (n,): `words`, their summed `characters`, how many are `alphabetic` or `english`.

    `stops`: bits of the STOP_WORDS present. `marks`: bits of what the lexicon should look for. `plain`: summed
    characters without edges; `top`: the highest product of a pair's count and its characters, `most`: that of counts alone;
    `longest`: characters of the longest four words in a row.
    """

    words: Integers
    characters: Integers
    alphabetic: Integers
    english: Integers
    stops: Integers
    marks: Integers
    plain: Integers
    top: Integers
    most: Integers
    longest: Integers


class WordCounter:
    """Counts texts; `marks_of` gives the lexicon's bits for one lower-case word."""

    def __init__(self, marks_of: Callable[[str], int]) -> None:
        """Nothing is known at first; what is learned of a word serves all texts after."""
        self._marks_of = marks_of
        self._forget()

    def _forget(self) -> None:
        self._places = _Places(self._learn)
        self._stems: dict[str, tuple[int, ...]] = {}
        self._stem_sizes: list[int] = []
        self._facts = array("q")  # FACTS numbers a word: no objects for the garbage collector to walk over

    def count(self, texts: Sequence[str]) -> Counts:
        """The counts of all texts, in order."""
        if len(self._places) > MOST_KEPT:
            self._forget()
        place_of = self._places.__getitem__
        listed = [array("q", map(place_of, text.split())) for text in texts]
        sizes = np.array([len(found) for found in listed], np.int64)
        facts = np.array(self._facts, np.int64).reshape(-1, FACTS).T
        places = np.frombuffer(b"".join(listed), np.int64)
        length, alphabetic, english, stops, marks, stem, plain = (fact[places] for fact in np.ascontiguousarray(facts))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
        filled = np.flatnonzero(sizes)

        def per_text(column: Integers, join: Any = np.add) -> Integers:
            result = np.zeros(len(sizes), np.int64)
            if len(filled):
                result[filled] = join.reduceat(column, starts[filled])
            return result

        top, most = _pairs(
            stem, np.array(self._stem_sizes, np.int64), np.repeat(np.arange(len(sizes)), sizes), len(sizes)
        )
        summed = np.concatenate([np.zeros(1, np.int64), np.cumsum(plain), np.zeros(4, np.int64)])
        four = np.maximum(summed[4 : len(plain) + 4] - summed[: len(plain)], plain)
        return Counts(
            sizes, per_text(length), per_text(alphabetic), per_text(english), per_text(stops, np.bitwise_or),
            per_text(marks, np.bitwise_or), per_text(plain), top, most, per_text(four, np.maximum),
        )  # fmt: skip

    def _learn(self, word: str) -> int:
        stem = word.lower().replace("’", "'").strip(EDGE)
        known = self._stems.get(stem)
        if known is None:
            stop = 1 << STOP_WORDS.index(stem) if stem in STOP_WORDS else 0
            known = (stem in ENGLISH, stop, self._marks_of(stem) if stem else 0, len(self._stem_sizes), len(stem))
            self._stems[stem] = known
            self._stem_sizes.append(len(stem))
        self._facts.extend((len(word), stem.isalpha() or bool(_LETTER.search(word)), *known))
        return len(self._facts) // FACTS - 1


class _Places(dict[str, int]):
    def __init__(self, learn: Callable[[str], int]) -> None:
        super().__init__()
        self._learn = learn

    def __missing__(self, word: str) -> int:
        place = self[word] = self._learn(word)
        return place


def _pairs(stem: Integers, sizes: Integers, owner: Integers, texts: int) -> tuple[Integers, Integers]:
    """Per text, of pairs of neighbouring words: the highest count times characters, and the highest count.

    Owner and both stems make one number: 12 bits for a block of texts, 2 x 20 for the words remembered.
    """
    top, most = np.zeros(texts, np.int64), np.ones(texts, np.int64)
    inside = np.flatnonzero(owner[:-1] == owner[1:])
    width = len(sizes) + 1
    keys, counts = np.unique((owner[inside] * width + stem[inside]) * width + stem[inside + 1], return_counts=True)
    keys, counts = keys[counts > 1], counts[counts > 1]
    rest, second = np.divmod(keys, width)
    whose, first = np.divmod(rest, width)
    np.maximum.at(most, whose, counts)
    np.maximum.at(top, whose, counts * (sizes[first] + sizes[second]))
    return top, most
