"""What a run can show before it is made: the smallest sample that can pass each gate, and how often a good model would.

Power is exact for shares, and for paired gains a sum over the ways in which the pairs can differ. Deciding is verdicts.py's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from twainbot.evals import verdicts
from twainbot.evals.statistics import lower_bound, mcnemar_exact, paired_share_gain_of, upper_bound

_MOST = 1_000  # items; a gate that needs more is out of reach of every suite
_UNLIKELY = 1e-6  # outcomes rarer than this are left out of a sum

Passes = Callable[[int, int], bool]  # (successes, n) to whether the gate passes


@dataclass(frozen=True)
class Share:
    """A gate over a share: how it passes, and the true share of the model whose chances are told."""

    counted: str  # which count of the plan it rests on
    passes: Passes
    truly: float
    what: str


@dataclass(frozen=True)
class Paired:
    """A gate over pairs, base and adapter: its bound on the gain, and the shares of pairs that the adapter wins and loses."""

    counted: str
    bound: float
    won: float
    lost: float
    both: float  # of the pairs, right in both arms
    what: str


@dataclass(frozen=True)
class Outlook:
    """What n items can do for a gate. `needed`: the fewest that can pass it, with nothing wrong; power in 0..1."""

    gate: str
    role: str
    n: int
    needed: int
    power: float
    says: str


SHARES: Mapping[str, Share] = {
    "weather_errors": Share(
        "answers", lambda good, n: upper_bound(n - good, n) < verdicts.WEATHER_BOUND, 0.99, "errs in 1 % of its replies"
    ),
    "style": Share(
        "dialogues",
        lambda good, n: n >= verdicts.STYLE_ITEMS and lower_bound(good, n) > verdicts.STYLE_BOUND,
        0.90,
        "is rated 4 or better in 90 %",
    ),
    "wanted_calls": Share(
        "wanted", lambda good, n: lower_bound(good, n) > verdicts.CALLS_BOUND, 0.90, "makes 90 % of the wanted calls"
    ),
    "no_call": Share(
        "unwanted", lambda good, n: lower_bound(good, n) > verdicts.CALLS_BOUND, 0.95, "keeps silent in 95 %"
    ),
    "result_used": Share(
        "answers", lambda good, n: lower_bound(good, n) > verdicts.USED_BOUND, 0.97, "uses the result in 97 %"
    ),
}
PAIRED: Mapping[str, Paired] = {
    "tool_calls": Paired("calls", 0.0, 0.25, 0.05, 0.35, "wins a quarter of the rows and loses a twentieth"),
    "coding": Paired(
        "problems",
        -verdicts.CODING_MARGIN,
        0.05,
        0.05,
        0.35,
        "solves as many, one problem in ten another than the base",
    ),
}


def outlooks(counts: Mapping[str, int]) -> list[Outlook]:
    """For each gate that counts items, in the order of primary and secondary. counts: items by what is counted."""
    shares = [_of_share(gate, share, counts.get(share.counted, 0)) for gate, share in SHARES.items()]
    pairs = [_of_pairs(gate, paired, counts.get(paired.counted, 0)) for gate, paired in PAIRED.items()]
    return sorted([*pairs, *shares], key=lambda each: (each.role, each.gate))


def out_of_reach(counts: Mapping[str, int]) -> list[str]:
    """A sentence for every gate that cannot pass, whatever the model is."""
    return [
        f"{each.gate} cannot pass on {each.n} items: {each.needed} are needed."
        for each in outlooks(counts)
        if each.n < each.needed
    ]


def _of_share(gate: str, share: Share, n: int) -> Outlook:
    needed = smallest(gate)
    power = _sum_of_passes(share, n) if n >= needed else 0.0
    return Outlook(gate, verdicts.role(gate), n, needed, power, _sentence(n, needed, power, share.what))


def _of_pairs(gate: str, paired: Paired, n: int) -> Outlook:
    needed = smallest(gate)
    power = _pairs_that_pass(gate, n) if n >= needed else 0.0
    return Outlook(gate, verdicts.role(gate), n, needed, power, _sentence(n, needed, power, paired.what))


def _sentence(n: int, needed: int, power: float, what: str) -> str:
    if n < needed:
        return f"Cannot pass with n={n}: the smallest n that can is {needed}."
    return f"With n={n} an adapter that {what} passes in {power:.0%} of runs; the smallest n that can pass is {needed}."


@cache
def smallest(gate: str) -> int:
    """The fewest items with which the gate can pass: all right, or every pair won."""
    if gate in SHARES:
        return next(n for n in range(1, _MOST) if SHARES[gate].passes(n, n))
    paired = PAIRED[gate]
    if paired.bound < 0:  # non-inferiority: the base's successes kept, nothing lost
        kept = {n: round(paired.both * n) for n in range(1, _MOST)}
        return next(n for n, both in kept.items() if _pairs_pass(paired, both, 0, 0, n - both))
    return next(n for n in range(1, _MOST) if _pairs_pass(paired, 0, 0, n, 0))


def _pairs_pass(paired: Paired, both: int, lost: int, won: int, neither: int) -> bool:
    if paired.bound >= 0 and mcnemar_exact(lost, won) >= verdicts.MCNEMAR_BOUND:
        return False
    return paired_share_gain_of(both, lost, won, neither).interval.low > paired.bound


def _sum_of_passes(share: Share, n: int) -> float:
    passing = takewhile(lambda good: share.passes(good, n), range(n, -1, -1))
    return math.fsum(_chance(n, (good, n - good), (share.truly, 1 - share.truly)) for good in passing)


@cache
def _pairs_that_pass(gate: str, n: int) -> float:
    """Over the pairs won, lost and kept as they were, the rest shared between both and neither as expected."""
    paired = PAIRED[gate]
    rest = 1 - paired.won - paired.lost
    found = []
    for won in range(n + 1):
        for lost in range(n + 1 - won):
            chance = _chance(n, (won, lost, n - won - lost), (paired.won, paired.lost, rest))
            if chance < _UNLIKELY:
                continue
            both = round((n - won - lost) * paired.both / rest)
            if _pairs_pass(paired, both, lost, won, n - won - lost - both):
                found.append(chance)
    return math.fsum(found)


def _chance(n: int, counts: Sequence[int], shares: Sequence[float]) -> float:
    """Of exactly these counts, multinomial."""
    log = math.lgamma(n + 1)
    for count, share in zip(counts, shares, strict=True):
        log += count * math.log(share) - math.lgamma(count + 1) if count else 0.0
    return math.exp(log)
