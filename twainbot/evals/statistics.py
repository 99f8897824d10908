"""Intervals and paired tests for the gates. What a gate demands of a figure lives in verdicts.py.

Everything is exact or seeded, so the same rows give the same interval on any machine. Proportions are in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from twainbot.errors import BadInput

CONFIDENCE = 0.95
_BISECTIONS = 60  # halves 1.0 to 1e-18, below what a float near 0.5 can hold
_BOOTSTRAP_ROUNDS = 4000  # the 2.5 % tail then rests on 100 resamples
_ROUNDS_AT_ONCE = 250  # 250 x 10,000 clusters of weights stay at 20 MB


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included: `low <= true value <= high` in `confidence` of all samples."""

    low: float
    high: float
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class PairedGain:
    """Mean of paired differences (second arm less first) with its interval. `n` items in `clusters` groups."""

    mean: float
    interval: Interval
    n: int
    clusters: int


def upper_bound(successes: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper-Pearson upper bound: the share at which so few successes have probability 1 - confidence.

    `upper_bound(0, 59) < 0.05 < upper_bound(0, 50)`. With n = 0 nothing is known, and the bound is 1.
    """
    _check_counts(successes, n)
    if successes == n:
        return 1.0
    return _bisect(lambda share: _at_most(successes, n, share) > 1 - confidence)


def lower_bound(successes: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper-Pearson lower bound; 0 where n = 0."""
    _check_counts(successes, n)
    return 1.0 - upper_bound(n - successes, n, confidence) if n else 0.0


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact two-sided interval of a proportion. It covers at least as often as it claims, at every n."""
    side = 1 - (1 - confidence) / 2
    return Interval(lower_bound(successes, n, side), upper_bound(successes, n, side), confidence)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a proportion: shorter than Clopper-Pearson, right on average. 0..1 where n = 0."""
    _check_counts(successes, n)
    if n == 0:
        return Interval(0.0, 1.0, confidence)
    z = _z(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends the score interval touches 0 and 1 exactly; float rounding must not push it inside
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, confidence)


def paired_share_gain(first: Sequence[bool], second: Sequence[bool], confidence: float = CONFIDENCE) -> PairedGain:
    """Share of the second arm less share of the first on the same items, with Newcombe's paired score interval.

    Unlike a bootstrap it keeps a width where no pair differs, so five items without a change prove little.
    """
    return paired_share_gain_of(*_fourfold(first, second), confidence)


def paired_share_gain_of(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = CONFIDENCE
) -> PairedGain:
    """The same from the counts of items that both arms, one alone, or neither got."""
    n = both + only_first + only_second + neither
    if n == 0:
        return PairedGain(0.0, Interval(-1.0, 1.0, confidence), 0, 0)
    share_1, share_2 = (both + only_first) / n, (both + only_second) / n
    ci_1, ci_2 = wilson(both + only_first, n, confidence), wilson(both + only_second, n, confidence)
    phi = _phi(both, only_first, only_second, neither)
    gain = share_2 - share_1
    low = gain - _hypotenuse(share_2 - ci_2.low, ci_1.high - share_1, phi)
    high = gain + _hypotenuse(ci_2.high - share_2, share_1 - ci_1.low, phi)
    return PairedGain(gain, Interval(max(-1.0, low), min(1.0, high), confidence), n, n)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p of the discordant pairs: how often a fair coin splits them at least so unevenly."""
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * _at_most(min(only_first, only_second), discordant, 0.5))


def discordant(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int]:
    """(items that only the first arm got, items that only the second got)."""
    _, only_first, only_second, _ = _fourfold(first, second)
    return only_first, only_second


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    rounds: int = _BOOTSTRAP_ROUNDS,
    confidence: float = CONFIDENCE,
) -> PairedGain:
    """Mean of `second - first` per item with its percentile interval.

    Whole clusters are drawn (dialogues, works), since turns of one dialogue are not independent. Fewer than two
    clusters show no spread: the interval is then infinite.
    """
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    labels = list(clusters) if clusters is not None else list(range(len(differences)))
    if len(labels) != len(differences):
        raise BadInput(f"{len(labels)} cluster labels for {len(differences)} pairs: give one label a pair.")
    sums, sizes = _per_cluster(differences, labels)
    mean = float(differences.mean()) if len(differences) else 0.0
    if len(sums) < 2:
        return PairedGain(mean, Interval(-math.inf, math.inf, confidence), len(differences), len(sums))
    means = _resampled_means(sums, sizes, seed, rounds)
    tail = (1 - confidence) / 2
    low, high = (float(edge) for edge in np.quantile(means, [tail, 1 - tail]))
    return PairedGain(mean, Interval(low, high, confidence), len(differences), len(sums))


def quadratic_weighted_kappa(first: Sequence[int], second: Sequence[int], lowest: int = 1, highest: int = 5) -> float:
    """Agreement of two raters beyond chance, -1..1, where a miss by two steps weighs four times a miss by one.

    1.0 where both gave every item the same single score: there is then no disagreement to weigh.
    """
    if len(first) != len(second) or not first:
        raise BadInput(f"Two raters need the same items: {len(first)} and {len(second)} scores.")
    size = highest - lowest + 1
    seen = np.zeros((size, size))
    for a, b in zip(first, second, strict=True):
        if not (lowest <= a <= highest and lowest <= b <= highest):
            raise BadInput(f"A score of {a} or {b} lies outside {lowest}..{highest}.")
        seen[a - lowest, b - lowest] += 1
    weights = np.square(np.subtract.outer(np.arange(size), np.arange(size)))
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
    expected = float((weights * by_chance).sum())
    return 1.0 if expected == 0 else 1.0 - float((weights * seen).sum()) / expected


def rogan_gladen(observed: float, false_positive_rate: float, recall: float) -> float:
    """The true error share behind an observed one, given the checker's own errors; clipped to 0..1.

    Observed 5 % by a checker with 2 % false positives and 90 % recall: (0.05 - 0.02) / (0.90 - 0.02) = 3.4 %.
    """
    power = recall - false_positive_rate
    if power <= 0:
        raise BadInput(f"A checker with recall {recall} and false positives {false_positive_rate} tells nothing.")
    return min(1.0, max(0.0, (observed - false_positive_rate) / power))


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise BadInput(f"{successes} successes of {n}: successes must lie in 0..n.")


def _at_most(k: int, n: int, share: float) -> float:
    """P(X <= k) for X binomial(n, share), summed in logarithms so that n = 100,000 does not overflow."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 1.0 if k >= n else 0.0
    log_share, log_rest = math.log(share), math.log1p(-share)
    log_n = math.lgamma(n + 1)
    return math.fsum(
        math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_share + (n - i) * log_rest)
        for i in range(k + 1)
    )


def _bisect(still_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if still_below(middle) else (low, middle)
    return high


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(1 - (1 - confidence) / 2)


def _fourfold(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, int, int]:
    if len(first) != len(second):
        raise BadInput(f"Paired arms need the same items: {len(first)} and {len(second)} given.")
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return (
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the two arms, with Newcombe's continuity correction where it is positive."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    n = both + only_first + only_second + neither
    product = both * neither - only_first * only_second
    if product > 0:
        product = max(product - n / 2, 0)
    return product / math.sqrt(margins)


def _hypotenuse(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def _per_cluster(
    values: npt.NDArray[np.float64], labels: Sequence[Hashable]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    index: dict[Hashable, int] = {}
    positions = np.array([index.setdefault(label, len(index)) for label in labels], dtype=int)
    sums = np.bincount(positions, weights=values, minlength=len(index)).astype(float)
    return sums, np.bincount(positions, minlength=len(index)).astype(float)


def _resampled_means(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], seed: int, rounds: int
) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    count = len(sums)
    parts = []
    for start in range(0, rounds, _ROUNDS_AT_ONCE):
        draws = rng.multinomial(count, np.full(count, 1 / count), size=min(_ROUNDS_AT_ONCE, rounds - start))
        parts.append((draws @ sums) / (draws @ sizes))
    return np.concatenate(parts)
