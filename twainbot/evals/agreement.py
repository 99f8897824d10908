"""Whether raters agree: quadratic weighted kappa of any two, with a bootstrap interval over the dialogues that both rated.

What a gate demands of it is ratings.py's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from twainbot.errors import BadInput
from twainbot.evals.statistics import CONFIDENCE, Interval

ROUNDS = 2000  # the 2.5 % tail rests on 50 resamples; 52 dialogues take 0.02 s
_ROUNDS_AT_ONCE = 250

Numbers: TypeAlias = npt.NDArray[np.float64]
Scores: TypeAlias = Mapping[tuple[str, str], float]  # (dialogue, arm) -> score


@dataclass(frozen=True)
class Agreement:
    """Two raters' kappa on `n` replies of `items` dialogues, -1..1. The interval is unbounded below two dialogues."""

    first: str
    second: str
    kappa: float
    interval: Interval
    n: int
    items: int


def kappa(first: Sequence[float], second: Sequence[float]) -> float:
    """Quadratic weighted kappa of scores that need not be whole: one less the mean squared miss over that by chance.

    By chance means that every score of one rater meets every score of the other, which is
    var(a) + var(b) + (mean(a) - mean(b))^2. 1.0 where both gave everything the same single score.
    """
    if len(first) != len(second) or not first:
        raise BadInput(f"Two raters need the same items: {len(first)} and {len(second)} scores.")
    return float(_kappas(_moments(first, second).sum(axis=0, keepdims=True))[0])


def agreement(first: str, second: str, given: Mapping[str, Scores], *, seed: int) -> Agreement | None:
    """How two raters agree on the replies that both rated; None where there are none.

    Both replies of a dialogue are drawn together, since whoever is strict with one is strict with the other.
    """
    common = sorted(given[first].keys() & given[second].keys())
    if not common:
        return None
    ours, theirs = ([given[rater][key] for key in common] for rater in (first, second))
    items = sorted({item for item, _ in common})
    place = {item: number for number, item in enumerate(items)}
    sums = np.zeros((len(items), 6))
    np.add.at(sums, [place[item] for item, _ in common], _moments(ours, theirs))
    return Agreement(first, second, kappa(ours, theirs), _interval(sums, seed), len(common), len(items))


def agreements(given: Mapping[str, Scores], *, seed: int) -> list[Agreement]:
    """Every two raters who have replies in common, in order of their names."""
    found = (agreement(first, second, given, seed=seed) for first, second in combinations(sorted(given), 2))
    return [each for each in found if each is not None]


def _moments(first: Sequence[float], second: Sequence[float]) -> Numbers:
    """By reply: a, b, a^2, b^2, (a - b)^2 and 1. Sums of them are all that kappa needs."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return np.column_stack([a, b, a * a, b * b, (a - b) ** 2, np.ones(len(a))])


def _kappas(sums: Numbers) -> Numbers:
    """Kappas from rows of summed moments: (k, 6) to (k,)."""
    a, b, aa, bb, missed, n = sums.T
    chance = aa / n + bb / n - 2 * (a / n) * (b / n)
    exact = chance < 1e-12  # both gave one and the same score throughout
    return np.where(exact, 1.0, 1.0 - (missed / n) / np.where(exact, 1.0, chance))


def _interval(sums: Numbers, seed: int) -> Interval:
    count = len(sums)
    if count < 2:
        return Interval(-math.inf, math.inf)
    rng = np.random.default_rng(seed)
    found: list[Numbers] = []
    for start in range(0, ROUNDS, _ROUNDS_AT_ONCE):
        draws = rng.multinomial(count, np.full(count, 1 / count), size=min(_ROUNDS_AT_ONCE, ROUNDS - start))
        found.append(_kappas(draws @ sums))
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(edge) for edge in np.quantile(np.concatenate(found), [tail, 1 - tail]))
    return Interval(low, high)
