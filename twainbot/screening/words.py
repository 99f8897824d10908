"""What the words of many texts say, counted in one pass: each distinct word is looked at once, texts are sums over them.

The words are those of `str.split`, found in the bytes of a block of texts at once and known again by those bytes. Which
shares are too many is quality.py's, which words matter to the lexicon lexical.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from twainbot.chunks.lookup import Integers, Table, WordPlaces, blocks, edges, laid_out

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")  # Gopher's eight, in bits 0 to 7
# Words that no English passage is without and that few other languages write: not `in`, `so`, `an`, `was`, `die`.
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the be to of and that have with it is he for as his you her had not but by they she at we which this from all would"
        " there their what if when who could been your my were are him them then into its",
    )
)
_STOP_BITS = {word: 1 << place for place, word in enumerate(STOP_WORDS)}
EDGE = ".,;:!?\"'()[]_*“”‘’"  # not part of a word that is compared
MOST_KEPT = 500_000  # distinct words remembered; then they are forgotten
NGRAMS = (2, 3, 4)
LAYOUT = re.compile(r"[#…]|\.\.\.$|^[-*•‣.]$")  # what a word holds that is no plain prose
_LETTER = re.compile(r"[^\W\d_]")
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing


@dataclass(frozen=True)
class Marked:
    """A stretch of a text around words that the lexicon knows: their bits, and the words lower-cased, a space between."""

    marks: int
    words: str


@dataclass(frozen=True)
class Counts:
    """Per text, all (n,): `words`, their summed `characters`, how many are `alphabetic` or `english`.

    `stops`: bits of the STOP_WORDS present. `marks`: bits of what the lexicon should look for. `plain`: summed
    characters without edges; `top2` to `top4`: of those, the most that lie in repeats of one n-gram, 0 where none occurs
    twice. `layout`: words that may belong to bullets, ellipses or rows of signs, see LAYOUT. `marked`, by number of the
    text: where the lexicon should look, for texts with any marks.
    """

    words: Integers
    characters: Integers
    alphabetic: Integers
    english: Integers
    stops: Integers
    marks: Integers
    plain: Integers
    top2: Integers
    top3: Integers
    top4: Integers
    layout: Integers
    marked: dict[int, list[Marked]] = field(default_factory=dict)


class WordCounter:
    """Counts texts; `marks_of` gives the lexicon's bits for one lower-case word.

    `candidates`: of many words, those that may have any bits, where asking all at once is cheaper. `reach`: words on either
    side of a marked one that a cue around it may take in.
    """

    def __init__(
        self,
        marks_of: Callable[[str], int],
        candidates: Callable[[Sequence[str]], Sequence[str]] = lambda words: words,
        reach: int = 0,
    ) -> None:
        """Nothing is known at first; what is learned of a word serves all texts after."""
        self._marks_of, self._candidates, self._reach = marks_of, candidates, reach
        self._forget()

    def _forget(self) -> None:
        self._places = WordPlaces()
        self._stems: dict[str, int] = {}
        self._of_words = Table(4)  # characters, whether alphabetic, whether of LAYOUT, stem
        self._of_stems = Table(4)  # whether English, bits of stop words, bits of the lexicon, characters

    def count(self, texts: Sequence[str]) -> Counts:
        """The counts of all texts, in order."""
        parts = [self._counted(first, block) for first, block in blocks(texts)]
        columns = {
            name.name: np.concatenate([np.zeros(0, np.int64), *(getattr(part, name.name) for part in parts)])
            for name in fields(Counts)
            if name.name != "marked"
        }
        return Counts(**columns, marked={number: found for part in parts for number, found in part.marked.items()})

    def _counted(self, first: int, texts: Sequence[str]) -> Counts:
        if len(self._places) > MOST_KEPT:
            self._forget()
        data, begins = laid_out(texts)
        starts, stops = edges(data)
        places = self._places.find(data, starts, stops, self._learn)
        firsts = np.searchsorted(starts, begins)
        sizes = np.diff(np.append(firsts, len(starts)))
        filled = np.flatnonzero(sizes)

        def per_text(column: Integers, join: Any = np.add) -> Integers:
            result = np.zeros(len(sizes), np.int64)
            if len(filled):
                result[filled] = join.reduceat(column, firsts[filled])
            return result

        # One column after the other: of a text of 10 million words each takes 80 MB.
        characters, alphabetic, layout = (per_text(column[places]) for column in self._of_words.columns[:3])
        stem = self._of_words.columns[3][places]
        del places
        english, stops_of, marks, plain = self._of_stems.columns
        owner = np.repeat(np.arange(len(sizes)), sizes)
        marked = np.flatnonzero(marks[stem])
        bits = np.zeros(len(sizes), np.int64)
        np.bitwise_or.at(bits, owner[marked], marks[stem[marked]])
        passages = self._passages(data, starts, stops, owner, marked, marks[stem[marked]], first)
        del data, starts, stops
        top2, top3, top4 = _tops(stem, plain[stem], owner, len(sizes))
        return Counts(
            words=sizes,
            characters=characters,
            alphabetic=alphabetic,
            english=per_text(english[stem]),
            stops=per_text(stops_of[stem], np.bitwise_or),
            marks=bits,
            plain=per_text(plain[stem]),
            top2=top2,
            top3=top3,
            top4=top4,
            layout=layout,
            marked=passages,
        )

    def _learn(self, raw: Sequence[bytes]) -> None:
        """Note what is known of words that were never met before, in order."""
        joined = b"\n".join(raw).decode("utf-8", "surrogatepass")
        words = joined.split("\n")
        stems = [stem.strip(EDGE) for stem in joined.lower().replace("’", "'").split("\n")]
        self._learn_stems([stem for stem in dict.fromkeys(stems) if stem not in self._stems])
        letters = list(map(str.isalpha, stems))
        for place in [place for place, whole in enumerate(letters) if not whole]:
            letters[place] = bool(_LETTER.search(words[place]))
        layout = [not word.isalnum() and bool(LAYOUT.search(word)) for word in words]
        self._of_words.append(map(len, words), letters, layout, map(self._stems.__getitem__, stems))

    def _learn_stems(self, stems: Sequence[str]) -> None:
        self._stems.update(zip(stems, range(len(self._stems), len(self._stems) + len(stems)), strict=True))
        marks = {stem: self._marks_of(stem) for stem in self._candidates(stems) if stem}
        self._of_stems.append(
            map(ENGLISH.__contains__, stems),
            [_STOP_BITS.get(stem, 0) for stem in stems],
            [marks.get(stem, 0) for stem in stems],
            map(len, stems),
        )

    def _passages(
        self,
        data: bytes,
        starts: Integers,
        stops: Integers,
        owner: Integers,
        marked: Integers,
        marks: Integers,
        first: int,
    ) -> dict[int, list[Marked]]:
        """The marked words with `reach` words on either side; what overlaps is one stretch."""
        found: dict[int, list[Marked]] = {}
        if not len(marked):
            return found
        whose = owner[marked]
        low = np.maximum(marked - self._reach, np.searchsorted(owner, whose))
        high = np.minimum(marked + self._reach, np.searchsorted(owner, whose, side="right") - 1)
        opens = np.flatnonzero(np.append(True, (whose[1:] != whose[:-1]) | (low[1:] > high[:-1])))
        closes = np.append(opens[1:], len(marked)) - 1
        rows = (whose[opens], np.bitwise_or.reduceat(marks, opens), starts[low[opens]], stops[high[closes]])
        for text, bits, start, stop in zip(*(column.tolist() for column in rows), strict=True):
            lowered = data[start:stop].decode("utf-8", "surrogatepass").replace("’", "'").lower()
            found.setdefault(first + text, []).append(Marked(bits, " ".join(lowered.split())))
        return found


def _tops(stem: Integers, sizes: Integers, owner: Integers, texts: int) -> list[Integers]:
    """Per text and length of NGRAMS, the highest product of an n-gram's count, above 1, and its characters.

    What repeats is made of shorter n-grams that repeat, so after the pairs few places are left to look at.
    """
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at = np.flatnonzero(owner[:-1] == owner[1:])
    wide = int(stem.max(initial=0)) + 1
    keys = ((owner[:-1] * wide + stem[:-1]) * wide + stem[1:])[at]
    again = _met_twice(keys)
    at, keys = at[again], keys[again]
    tops = []
    for length in NGRAMS:
        top = np.zeros(texts, np.int64)
        _, names, counts = np.unique(keys, return_inverse=True, return_counts=True)
        often = counts[names]
        kept = often > 1
        at, names, often = at[kept], names[kept], often[kept]
        np.maximum.at(top, owner[at], often * (ends[at + length] - ends[at]))
        tops.append(top)
        follows = np.flatnonzero(at[1:] == at[:-1] + 1)
        keys = names[follows] * (len(counts) + 1) + names[follows + 1]
        at = at[follows]
    return tops


def _met_twice(keys: Integers) -> Integers:
    """Places of keys that may occur more than once; surely all that do. Counting by a few mixed bits spares a sort."""
    bits = max(1, len(keys)).bit_length() + 1
    mixed = keys.view(np.uint64) * _SPREAD
    mixed >>= np.uint64(64 - bits)
    mixed = mixed.view(np.int64)
    return np.flatnonzero(np.bincount(mixed, minlength=1 << bits)[mixed] > 1)
