"""How varied a set of texts is, and how that compares with what people wrote. Which texts: quality.py's and the caller's.

All figures fall or rise with the size of the set, so two sets are compared only at equal numbers of texts and words.
"""

from __future__ import annotations

import bisect
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = Sequence[str]
Gram: TypeAlias = tuple[str, ...]

BLEU_SIZE = 4
_SMALL = 0.1  # matches that an n-gram size without any counts as (method 1 of Chen and Cherry 2014)


@dataclass(frozen=True)
class Variety:
    """Figures over `texts` texts of `words` words. distinct_n: distinct word n-grams / all; self_bleu_4: mean BLEU-4 of
    each text against all others (0..1, lower is more varied); spread: mean cosine distance of two texts, None: not run."""

    texts: int
    words: int
    distinct_1: float
    distinct_2: float
    distinct_3: float
    self_bleu_4: float
    spread: float | None = None


@dataclass(frozen=True)
class Compared:
    """Figures of `texts` drawn texts, and their ratios to those of as many texts by people (1.0: as varied)."""

    texts: int
    distinct_3: float
    self_bleu_4: float
    distinct_ratio: float
    bleu_ratio: float


def words_of(text: str) -> list[str]:
    """The text's words in lower case, marks gone."""
    return re.findall(r"[\w']+", text.lower())


def measure(texts: Sequence[str], vectors: NDArray[np.float64] | None = None) -> Variety:
    """All figures of the texts; `vectors`: (texts, n), one embedding each, where there is a static embedding."""
    words = [words_of(text) for text in texts]
    return Variety(
        texts=len(texts),
        words=sum(map(len, words)),
        distinct_1=distinct(words, 1),
        distinct_2=distinct(words, 2),
        distinct_3=distinct(words, 3),
        self_bleu_4=self_bleu(words),
        spread=None if vectors is None else spread(vectors),
    )


def distinct(texts: Iterable[Words], size: int) -> float:
    """Distinct word n-grams over all, 0..1."""
    found = [gram for words in texts for gram in grams(words, size)]
    return len(set(found)) / max(1, len(found))


def grams(words: Words, size: int) -> Iterator[Gram]:
    """The word n-grams in order; none of a text that is shorter."""
    return zip(*(words[at:] for at in range(size)), strict=False)


def self_bleu(texts: Sequence[Words], size: int = BLEU_SIZE) -> float:
    """Mean BLEU of each text with all others as its references, exact; 0.0 for fewer than two texts.

    A reference's count bounds a match. The two highest counts of an n-gram in any text are kept with their holder, so
    that "in any other text" is one look-up, and 3,000 replies take a second instead of 9 million comparisons.
    """
    if len(texts) < 2:
        return 0.0
    counts = [[Counter(grams(words, n)) for words in texts] for n in range(1, size + 1)]
    highest = [_highest(counted) for counted in counts]
    lengths = sorted(len(words) for words in texts)
    scores = []
    for at, words in enumerate(texts):
        parts = [_matched(counted[at], best, at) for counted, best in zip(counts, highest, strict=True)]
        scores.append(_brevity(len(words), lengths) * _bleu(parts))
    return sum(scores) / len(scores)


def _highest(counted: Sequence[Counter[Gram]]) -> dict[Gram, tuple[int, int, int]]:
    """n-gram -> (its highest count in a text, which text, its second highest count in another text)."""
    found: dict[Gram, tuple[int, int, int]] = {}
    for at, counter in enumerate(counted):
        for gram, count in counter.items():
            best, holder, second = found.get(gram, (0, -1, 0))
            found[gram] = (count, at, best) if count > best else (best, holder, max(second, count))
    return found


def _matched(own: Counter[Gram], highest: dict[Gram, tuple[int, int, int]], at: int) -> tuple[int, int]:
    """(n-grams of text `at` that another text covers, all its n-grams)."""
    matched = 0
    for gram, count in own.items():
        best, holder, second = highest[gram]
        matched += min(count, second if holder == at else best)
    return matched, own.total()


def _bleu(parts: Sequence[tuple[int, int]]) -> float:
    """Geometric mean of the precisions; sizes that the text is too short for are left out."""
    shares = [max(matched, _SMALL) / total for matched, total in parts if total]
    return math.exp(sum(map(math.log, shares)) / len(shares)) if shares and parts[0][0] else 0.0


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """1, or less where the nearest other length is greater (of two as near, the shorter). `lengths`: sorted, own one in."""
    place = bisect.bisect_left(lengths, length)
    others = [*lengths[max(0, place - 1) : place], *lengths[place + 1 : place + 2]]
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= nearest else math.exp(1 - nearest / max(1, length))


def spread(vectors: NDArray[np.float64]) -> float:
    """Mean cosine distance of two different rows: 1 - (|sum of unit rows|^2 - n) / (n (n - 1)). 0.0 for fewer than two."""
    count = len(vectors)
    if count < 2:
        return 0.0
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float(1 - (np.square(unit.sum(axis=0)).sum() - count) / (count * (count - 1)))


def sample(texts: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """`count` of the texts in their order, drawn by seed; all where there are no more."""
    if len(texts) <= count:
        return list(texts)
    return [texts[at] for at in sorted(random.Random(seed).sample(range(len(texts)), count))]


def matched(texts: Sequence[str], utterances: Sequence[str]) -> list[str]:
    """What people said, as many texts as `texts` and each with as many words: utterances in order, joined and cut.

    An utterance is begun once and its rest dropped, so that every text opens as somebody opened. Fewer where they end.
    """
    found: list[str] = []
    rest = iter(utterances)
    for text in texts:
        wanted, held = len(words_of(text)), list[str]()
        while len(held) < wanted:
            following = next(rest, None)
            if following is None:
                return found
            held += following.split()
        found.append(" ".join(held[:wanted]))
    return found


def against(texts: Sequence[str], people: Mapping[int, tuple[float, float]], seed: int = 0) -> Compared | None:
    """The texts against people's (distinct_3, self_bleu_4) by number of texts: at the largest number that both have.

    None where there are fewer texts than the smallest number.
    """
    sizes = [size for size in people if size <= len(texts)]
    if not sizes:
        return None
    found = measure(sample(texts, max(sizes), seed))
    distinct_3, self_bleu_4 = people[max(sizes)]
    return Compared(
        found.texts,
        found.distinct_3,
        found.self_bleu_4,
        distinct_ratio=found.distinct_3 / distinct_3,
        bleu_ratio=found.self_bleu_4 / self_bleu_4,
    )
